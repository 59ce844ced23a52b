package harness

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

var lastPort atomic.Int32

// FreePort returns a port that nobody listens on. It lies below those that the kernel hands out by itself, so that no
// other test gets it before our server does.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 12000 + os.Getpid()%1000*10 + int(lastPort.Add(1))
		if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
