package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// suspend stops a process and waits until it has stopped: on a busy machine its threads may run on for a while.
func suspend(process *os.Process) {
	process.Signal(syscall.SIGSTOP)
	for end := time.Now().Add(10 * time.Second); !isSuspended(process.Pid) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

// isSuspended tells whether no thread of a process runs, also of one that is gone.
func isSuspended(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		text, _ := os.ReadFile(thread)
		name := bytes.LastIndexByte(text, ')') // the state follows: "17 (asynq) T ..."
		if name >= 0 && len(text) > name+2 && text[name+2] != 'T' && text[name+2] != 'Z' {
			return false
		}
	}
	return true
}
