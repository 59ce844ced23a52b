package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Daemon is a running asynqd.
type Daemon struct {
	t     testing.TB
	Dir   string // a private directory, where its configuration is
	File  string // the configuration
	cmd   *exec.Cmd
	gate  sync.Mutex // held by HoldLog
	mutex sync.Mutex
	lines []M
	raw   bytes.Buffer
	rest  string
	ended chan struct{}
	err   error
}

// DaemonCommand is asynqd with these words; ASYNQ_DAEMON_UNDER can name a program to run it under, such as valgrind.
func DaemonCommand(words ...string) *exec.Cmd {
	if under := strings.Fields(os.Getenv("ASYNQ_DAEMON_UNDER")); len(under) > 0 {
		words = append(append(under[1:], filepath.Join(BuildDir(), "asynqd")), words...)
		return exec.Command(under[0], words...)
	}
	return exec.Command(filepath.Join(BuildDir(), "asynqd"), words...)
}

// StartDaemon starts an asynqd with this configuration, and waits until it is ready. The log is JSON. It ends with the
// test, which fails if it does not end well.
func StartDaemon(t testing.TB, config string, words ...string) *Daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "asynqd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return StartDaemonIn(t, dir, config, words...)
}

// StartDaemonAfter is StartDaemon after a shell has run `setup`, such as "ulimit -n 60".
func StartDaemonAfter(t testing.TB, setup, config string, words ...string) *Daemon {
	t.Helper()
	return startDaemon(t, t.TempDir(), config, func(words ...string) *exec.Cmd {
		cmd := DaemonCommand(words...)
		return exec.Command("sh", append([]string{"-c", setup + "; exec \"$@\"", "sh"}, cmd.Args...)...)
	}, words...)
}

// StartDaemonIn is StartDaemon in a directory, for asynqds that come after one another.
func StartDaemonIn(t testing.TB, dir, config string, words ...string) *Daemon {
	t.Helper()
	return startDaemon(t, dir, config, DaemonCommand, words...)
}

func startDaemon(t testing.TB, dir, config string, command func(words ...string) *exec.Cmd, words ...string) *Daemon {
	t.Helper()
	d := &Daemon{t: t, Dir: dir, File: filepath.Join(dir, "asynqd.yaml"), ended: make(chan struct{})}
	d.Configure(config)
	d.cmd = command(append([]string{"--config", d.File, "--log-format", "json", "--endpoints-listen", "127.0.0.1:0"},
		words...)...)
	d.cmd.Stderr = d
	// A proxy in the environment is not asked for.
	d.cmd.Env = append(os.Environ(), "TMPDIR="+dir, "http_proxy=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1", "no_proxy=")
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("asynqd: %v", err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	t.Cleanup(func() {
		d.End()
		if lines := strings.Split(strings.TrimSpace(d.Text()), "\n"); t.Failed() {
			t.Logf("the end of the log of asynqd:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
	Eventually(t, 30*time.Second, "asynqd to be ready", func() bool {
		select {
		case <-d.ended:
			t.Fatalf("asynqd has ended: %v\n%s", d.err, d.Text())
		default:
		}
		return len(d.Find("asynqd ready: ")) > 0
	})
	return d
}

// Configure writes the configuration.
func (d *Daemon) Configure(config string) {
	d.t.Helper()
	if err := os.WriteFile(d.File, []byte(config), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// HoldLog has nobody read the log until `release` is called.
func (d *Daemon) HoldLog() (release func()) {
	d.gate.Lock()
	return d.gate.Unlock
}

// Write takes the log.
func (d *Daemon) Write(p []byte) (int, error) {
	d.gate.Lock()
	defer d.gate.Unlock()
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.raw.Write(p)
	text := d.rest + string(p)
	for {
		line, rest, found := strings.Cut(text, "\n")
		if !found {
			d.rest = text
			return len(p), nil
		}
		var m M
		if json.Unmarshal([]byte(line), &m) != nil {
			m = M{"msg": line, "level": "?"} // of a sanitizer, or before the log is there
		}
		d.lines = append(d.lines, m)
		text = rest
	}
}

// Text is all that it has written.
func (d *Daemon) Text() string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.raw.String()
}

// Lines are the lines of the log so far.
func (d *Daemon) Lines() []M {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return append([]M(nil), d.lines...)
}

// Find are the lines whose message contains the text.
func (d *Daemon) Find(text string) (found []M) {
	for _, line := range d.Lines() {
		if message, _ := line["msg"].(string); strings.Contains(message, text) {
			found = append(found, line)
		}
	}
	return found
}

// Attempts are the lines about attempts at a task, or at all ("").
func (d *Daemon) Attempts(task string) (found []M) {
	for _, line := range d.Lines() {
		if text, _ := line["msg"].(string); strings.HasPrefix(text, "attempt ") && (task == "" || line["task"] == task) {
			found = append(found, line)
		}
	}
	return found
}

// Attempt waits for the n-th attempt at a task (from 1) and returns its line.
func (d *Daemon) Attempt(task string, n int) M {
	d.t.Helper()
	Eventually(d.t, 30*time.Second, "an attempt at "+task, func() bool { return len(d.Attempts(task)) >= n })
	return d.Attempts(task)[n-1]
}

// URL is where its end-points are.
func (d *Daemon) URL() string {
	d.t.Helper()
	lines := d.Find("health, metrics and the API are at")
	if len(lines) == 0 {
		d.t.Fatalf("asynqd has no end-points: %s", d.Text())
	}
	text := lines[0]["msg"].(string)
	scheme, _, _ := strings.Cut(strings.TrimPrefix(text, "endpoints ready: health, metrics and the API are at "), "://")
	return scheme + "://127.0.0.1:" + text[strings.LastIndex(text, " ")+1:]
}

// Signal sends it a signal.
func (d *Daemon) Signal(signal syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil {
		d.t.Error(err)
	}
}

// Pid is its process.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// HasOpen tells whether it has the file open.
func (d *Daemon) HasOpen(path string) bool {
	wanted, _ := os.Stat(path)
	open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", d.Pid()))
	for _, name := range open {
		if info, err := os.Stat(name); err == nil && os.SameFile(info, wanted) {
			return true
		}
	}
	return false
}

// IsHeldBy tells whether one of its threads waits in a read of this file. A thread that still opens it, or has seen its end
// and is about to close it, is not held.
func (d *Daemon) IsHeldBy(path string) bool {
	wanted, _ := os.Stat(path)
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", d.Pid()))
	for _, name := range threads {
		text, _ := os.ReadFile(name)
		var call, fd int
		if n, _ := fmt.Sscanf(string(text), "%d 0x%x", &call, &fd); n < 2 || call != syscall.SYS_READ {
			continue
		}
		info, err := os.Stat(fmt.Sprintf("/proc/%d/fd/%d", d.Pid(), fd))
		if err == nil && os.SameFile(info, wanted) {
			return true
		}
	}
	return false
}

// HasEnded tells whether it has.
func (d *Daemon) HasEnded() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// Kill ends it at once.
func (d *Daemon) Kill() {
	d.cmd.Process.Kill()
	<-d.ended
	d.err = nil
}

// End has it end in order.
func (d *Daemon) End() {
	d.t.Helper()
	if !d.HasEnded() {
		d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.ended:
		case <-time.After(60 * time.Second):
			d.cmd.Process.Signal(syscall.SIGABRT)
			d.t.Errorf("asynqd does not end")
			<-d.ended
		}
	}
	if d.err != nil {
		d.t.Errorf("asynqd has ended: %v\n%s", d.err, d.Text())
		d.err = nil
	}
	if d.t.Failed() && os.Getenv("ASYNQ_DAEMON_LOG") != "" {
		d.t.Log(d.Text())
	}
}
