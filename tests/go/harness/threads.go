package harness

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

const waitForThreads = 0x40000000 // __WALL

// HoldThreads stops all threads of a child process but its main one, as if each waited for what never comes, until the
// function that it returns is called, or the test ends.
func HoldThreads(t testing.TB, process int) (release func()) {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", process))
	if err != nil {
		t.Fatal(err)
	}
	var threads []int
	for _, entry := range entries {
		if thread, _ := strconv.Atoi(entry.Name()); thread != process {
			threads = append(threads, thread)
		}
	}
	if len(threads) == 0 {
		t.Fatalf("process %d has one thread only", process)
	}
	held, leave, left := make(chan error), make(chan bool), make(chan bool)
	go func() { // all calls of ptrace(2) must come from one thread
		runtime.LockOSThread()
		defer close(left)
		held <- hold(threads)
		<-leave
		for _, thread := range threads {
			syscall.PtraceDetach(thread)
		}
	}()
	err = <-held
	isHeld := true
	release = func() {
		if isHeld {
			isHeld = false
			close(leave)
			<-left
		}
	}
	t.Cleanup(release)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func hold(threads []int) error {
	for _, thread := range threads {
		if err := syscall.PtraceAttach(thread); err != nil {
			return fmt.Errorf("ptrace: thread %d: %w", thread, err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(thread, &status, waitForThreads, nil); err != nil {
			return fmt.Errorf("waiting for thread %d to stop: %w", thread, err)
		}
	}
	return nil
}
