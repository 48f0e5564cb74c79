// Asks grpc.health.v1 once, exactly as the kubelet does for a pod with a gRPC probe: with the kubelet's own code.
//
//	kubelet-probe HOST PORT SERVICE SECONDS
//
// It prints what the kubelet would note ("success" or "failure", and why), and exits with 0 for a success alone.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"k8s.io/kubernetes/pkg/probe"
	kubelet "k8s.io/kubernetes/pkg/probe/grpc"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: kubelet-probe HOST PORT SERVICE SECONDS")
		os.Exit(2)
	}
	port, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "PORT:", err)
		os.Exit(2)
	}
	seconds, err := strconv.ParseFloat(os.Args[4], 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, "SECONDS:", err)
		os.Exit(2)
	}
	timeout := time.Duration(seconds * float64(time.Second))
	result, why, err := kubelet.New().Probe(os.Args[1], os.Args[3], port, timeout)
	fmt.Println(result, why)
	if err != nil || result != probe.Success {
		os.Exit(1)
	}
}
