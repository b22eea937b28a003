// Knative's conformance tests from before its features: stricter about what comes out of a channel, byte for byte.
//
// Always true: which channels are meant comes from the flag -channels, as upstream has it.
package older

import (
	"context"
	"flag"
	"os"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"knative.dev/eventing/test"
	"knative.dev/eventing/test/conformance/helpers"
	testlib "knative.dev/eventing/test/lib"
)

var channels testlib.ComponentsTestRunner

func TestMain(m *testing.M) {
	test.InitializeEventingFlags()
	flag.Parse()
	channels = testlib.ComponentsTestRunner{ComponentFeatureMap: testlib.ChannelFeatureMap, ComponentsToTest: test.EventingFlags.Channels}
	os.Exit(m.Run())
}

func TestChannelAddressableResolverClusterRoleTest(t *testing.T) {
	helpers.TestChannelAddressableResolverClusterRoleTestRunner(t, channels, testlib.SetupClientOptionNoop)
}

func TestChannelChannelableManipulatorClusterRoleTest(t *testing.T) {
	helpers.TestChannelChannelableManipulatorClusterRoleTestRunner(context.Background(), t, channels, testlib.SetupClientOptionNoop)
}

func TestChannelCRDMetadata(t *testing.T) {
	helpers.ChannelCRDMetadataTestHelperWithChannelTestRunner(t, channels, testlib.SetupClientOptionNoop)
}

func TestChannelCRDName(t *testing.T) {
	helpers.ChannelCRDNameTestHelperWithChannelTestRunner(t, channels, testlib.SetupClientOptionNoop)
}

func TestChannelSpec(t *testing.T) {
	helpers.ChannelSpecTestHelperWithChannelTestRunner(t, channels, testlib.SetupClientOptionNoop)
}

func TestChannelStatus(t *testing.T) {
	helpers.ChannelStatusTestHelperWithChannelTestRunner(t, channels, testlib.SetupClientOptionNoop)
}

func TestChannelStatusSubscriber(t *testing.T) {
	helpers.ChannelStatusSubscriberTestHelperWithChannelTestRunner(context.Background(), t, channels, testlib.SetupClientOptionNoop)
}

func TestChannelDataPlaneSuccess(t *testing.T) {
	helpers.ChannelDataPlaneSuccessTestRunner(context.Background(), t, channels, testlib.SetupClientOptionNoop)
}

func TestChannelDataPlaneFailure(t *testing.T) {
	helpers.ChannelDataPlaneFailureTestRunner(context.Background(), t, channels, testlib.SetupClientOptionNoop)
}

func TestChannelForwardHeadersPrependedWithKnative(t *testing.T) {
	helpers.SingleEventWithKnativeHeaderHelperForChannelTestHelper(context.Background(), t, cloudevents.EncodingBinary, channels)
}
