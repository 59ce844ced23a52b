package harness

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var lastPort atomic.Int32

// FreePort returns a port that nobody listens on. It lies below those that the kernel hands out by itself (from 32768), and so
// does that of a cluster's bus, so that no other test gets it before our server does.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 12000 + os.Getpid()%200*50 + int(lastPort.Add(1))
		if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// ClusterPort is a FreePort whose bus, 10000 above it, is free as well.
func ClusterPort(t testing.TB) int {
	t.Helper()
	for {
		port := FreePort(t)
		if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10000)); err == nil {
			listener.Close()
			return port
		}
	}
}

// DeafAddress is one where connections are never completed: its queue is full, and nobody takes any from it.
func DeafAddress(t testing.TB) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(socket) })
	port := FreePort(t)
	if err = syscall.Bind(socket, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = syscall.Listen(socket, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprint("127.0.0.1:", port)
	for {
		connection, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { connection.Close() })
	}
}
