// The cluster's DNS server: CoreDNS, whose default build carries fifty plugins and their dependencies, with the few
// that answer for Services and pods.
//
// Always true: what is compiled in here is all that the Corefile can name (src/dns.ts).
package main

import (
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	coremain.Run()
}
