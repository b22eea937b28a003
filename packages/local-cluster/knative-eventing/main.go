// Knative Eventing's own reconcilers of Subscription and Channel, for tests of what has to get along with them.
//
// Knative's controller program runs seventeen more, which want the CRDs of every source and sink, and listens on port
// 8080 of every address, so that a second one on the same machine cannot start. These two are what a channel meets.
//
// Always true: the reconcilers, their leases and their settings are those of the release that go.mod names.
package main

import (
	"knative.dev/eventing/pkg/auth"
	"knative.dev/eventing/pkg/reconciler/channel"
	"knative.dev/eventing/pkg/reconciler/subscription"
	filtered "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/injection/sharedmain"
	"knative.dev/pkg/signals"
)

func main() {
	ctx := filtered.WithSelectors(signals.NewContext(), auth.OIDCLabelSelector)
	ctx = sharedmain.WithHealthProbesDisabled(ctx)
	sharedmain.MainWithContext(ctx, "controller", channel.NewController, subscription.NewController)
}
