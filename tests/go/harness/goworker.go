package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var buildWorker = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("asynq-goworker-%d", os.Getpid()))
	output, err := exec.Command("go", "build", "-o", path, "github.com/hibiken/asynq/libasynq-tests/cmd/goworker").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%v: %s", err, output)
	}
	return path, nil
})

// StartGoWorker starts Go's server in a process of its own and returns what kills it with SIGKILL. Addresses: see cmd/goworker.
func StartGoWorker(t testing.TB, address, queue, ledger string, concurrency int) (kill func()) {
	t.Helper()
	path, err := buildWorker()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, address, queue, ledger, fmt.Sprint(concurrency))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill = func() { once.Do(func() { cmd.Process.Kill(); cmd.Wait() }) }
	t.Cleanup(kill)
	return kill
}
