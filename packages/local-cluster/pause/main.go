// The process that every pod begins with: it holds the pod's network namespace open while containers come and go.
//
// Where containers share its process namespace it is their process 1, and so collects children that nobody waits for.
//
// Always true: SIGTERM and SIGINT end it at once, with exit code 0.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ends, children := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		select {
		case <-ends:
			return
		case <-children:
			collect()
		}
	}
}

// Several ends can share one signal, hence until nobody is left.
func collect() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}
