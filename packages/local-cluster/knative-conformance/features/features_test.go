// Knative's features of channels, in the order of its own suite and under the names that its tests have there.
//
// What is tested is upstream's: features are called, never changed. Here is only where they run, and with which names.
//
// Always true: one test at a time, so that a small machine is not swamped; within one, all steps of a phase run side by
// side and wait for each other, which takes a -test.parallel of more than there are. Which channel is meant comes from
// the environment (CHANNEL_GROUP_KIND, CHANNEL_VERSION), as upstream has it.
package features

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/system"
	"knative.dev/reconciler-test/pkg/environment"
	"knative.dev/reconciler-test/pkg/feature"
	"knative.dev/reconciler-test/pkg/k8s"
	"knative.dev/reconciler-test/pkg/knative"
	"knative.dev/reconciler-test/pkg/manifest"
	"knative.dev/reconciler-test/pkg/state"

	"knative.dev/eventing/test/experimental/features/delivery_timeout"
	"knative.dev/eventing/test/experimental/features/retry_after"
	"knative.dev/eventing/test/rekt/features/channel"
	channels "knative.dev/eventing/test/rekt/resources/channel"
	"knative.dev/eventing/test/rekt/resources/channel_impl"
	"knative.dev/eventing/test/rekt/resources/subscription"
)

var cluster environment.GlobalEnvironment

func TestMain(m *testing.M) {
	cluster = environment.NewStandardGlobalEnvironment()
	os.Exit(m.Run())
}

// A namespace of its own, which goes when the test has passed.
func namespace(t *testing.T, more ...environment.EnvOpts) (context.Context, environment.Environment) {
	t.Helper()
	options := []environment.EnvOpts{
		knative.WithKnativeNamespace(system.Namespace()),
		knative.WithLoggingConfig,
		knative.WithObservabilityConfig,
		k8s.WithEventListener,
		environment.Managed(t),
	}
	return cluster.Environment(append(options, more...)...)
}

func run(t *testing.T, features ...*feature.Feature) {
	ctx, env := namespace(t)
	for _, f := range features {
		env.Test(ctx, t, f)
	}
}

// Upstream has its features ask how a subscriber is named.
func asSubscriber(ref *duckv1.KReference, uri string) manifest.CfgFn {
	return subscription.WithSubscriber(ref, uri, "")
}

// Names that are hard on whoever derives others from them; the last one is as long as a name may be.
var names = []string{
	"customname",
	"name-with-dash",
	"name1with2numbers3",
	"name63-01234567890123456789012345678901234567890123456789012345",
}

func eachName(t *testing.T, ctx context.Context, env environment.Environment, featureOf func(name string) *feature.Feature) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) { env.Test(ctx, t, featureOf(name)) })
	}
}

func TestSmoke_Channel(t *testing.T) {
	ctx, env := namespace(t)
	eachName(t, ctx, env, func(name string) *feature.Feature { return channel.GoesReady(name) })
}

func TestSmoke_ChannelImpl(t *testing.T) {
	ctx, env := namespace(t)
	eachName(t, ctx, env, func(name string) *feature.Feature { return channel.ImplGoesReady(name) })
}

func TestSmoke_ChannelWithSubscription(t *testing.T) {
	ctx, env := namespace(t)
	env.Prerequisite(ctx, t, channel.GoesReady("mychannel"))
	eachName(t, ctx, env, subscribedTo(channels.AsRef("mychannel")))
}

func TestSmoke_ChannelImplWithSubscription(t *testing.T) {
	ctx, env := namespace(t)
	env.Prerequisite(ctx, t, channel.ImplGoesReady("mychannelimpl"))
	eachName(t, ctx, env, subscribedTo(channel_impl.AsRef("mychannelimpl")))
}

func subscribedTo(ref *duckv1.KReference) func(name string) *feature.Feature {
	return func(name string) *feature.Feature {
		return channel.SubscriptionGoesReady(name, subscription.WithChannel(ref), subscription.WithSubscriber(nil, "http://example.com", ""))
	}
}

func TestChannelConformance(t *testing.T) {
	const name = "mychannelimpl" // some steps have this very name in them
	ctx, env := namespace(t, environment.WithPollTimings(5*time.Second, 4*time.Minute))
	env.Prerequisite(ctx, t, channel.ImplGoesReady(name))
	env.TestSet(ctx, t, channel.ControlPlaneConformance(name))
	env.TestSet(ctx, t, channel.DataPlaneConformance(name))
}

func TestChannelAsyncHandler(t *testing.T) {
	run(t, channel.AsyncHandler(asSubscriber), channel.AsyncHandlerUpdate(asSubscriber))
}

func TestEventTransformationForSubscriptionV1(t *testing.T) {
	run(t, channel.EventTransformation())
}

func TestBinaryEventForChannel(t *testing.T) {
	run(t, channel.SingleEventWithEncoding(binding.EncodingBinary))
}

func TestStructuredEventForChannel(t *testing.T) {
	run(t, channel.SingleEventWithEncoding(binding.EncodingStructured))
}

func TestChannelPreferHeaderCheck(t *testing.T) {
	run(t, channel.ChannelPreferHeaderCheck(asSubscriber))
}

func TestChannelDeadLetterSinkExtensions(t *testing.T) {
	ctx, env := namespace(t)
	env.TestSet(ctx, t, channel.ChannelDeadLetterSinkExtensions(asSubscriber))
}

func TestDeliveryTimeout(t *testing.T) {
	run(t, delivery_timeout.ChannelToSink())
}

// The wait of 6 s and the margin of 3 s are upstream's.
func TestRetryAfter(t *testing.T) {
	ctx, env := namespace(t)
	prefix := feature.MakeRandomK8sName("retryafter")
	ctx = state.ContextWith(ctx, &state.KVStore{})
	state.SetOrFail(ctx, t, retry_after.ChannelNameKey, prefix+"-channel")
	state.SetOrFail(ctx, t, retry_after.SubscriptionNameKey, prefix+"-subscription")
	state.SetOrFail(ctx, t, retry_after.SenderNameKey, prefix+"-sender")
	state.SetOrFail(ctx, t, retry_after.ReceiverNameKey, prefix+"-receiver")
	state.SetOrFail(ctx, t, retry_after.RetryAttemptsKey, 3)
	state.SetOrFail(ctx, t, retry_after.RetryAfterSecondsKey, 6)
	state.SetOrFail(ctx, t, retry_after.ExpectedIntervalMargingKey, 3)
	env.Test(ctx, t, retry_after.ConfigureDataPlane(ctx, t))
	env.Test(ctx, t, retry_after.SendEvent(ctx, t))
}
