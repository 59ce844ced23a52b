package daemon

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// datagrams collects what is sent to a socket, as systemd's are.
type datagrams struct {
	path  string
	mutex sync.Mutex
	texts []string
}

func listenDatagrams(t *testing.T, path string) *datagrams {
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	d := &datagrams{path: path}
	go func() {
		buffer := make([]byte, 65536)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			d.mutex.Lock()
			d.texts = append(d.texts, string(buffer[:n]))
			d.mutex.Unlock()
		}
	}()
	return d
}

// count is how many of them contain all the words.
func (d *datagrams) count(words ...string) (count int) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, text := range d.texts {
		has := true
		for _, word := range words {
			has = has && strings.Contains(text, word)
		}
		if has {
			count++
		}
	}
	return count
}

// startService starts asynqd as systemd would, with these variables and files from 3 on.
func startService(t *testing.T, config string, variables []string, files []*os.File, words ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "asynqd.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	asynqd := DaemonCommand(append([]string{"--config", path}, words...)...)
	cmd := exec.Command("sh", append([]string{"-c", `export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$0" "$@"`}, asynqd.Args...)...)
	cmd.Env = append(os.Environ(), variables...)
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("asynqd: %v", err)
		}
	})
	return cmd
}

// TestSystemd: asynqd tells systemd when it is ready, that it lives, and when it stops; it takes the socket that it is given.
// When its server is stuck, it gives no sign of life, and says so to a container's check, though its main thread could do both.
func TestSystemd(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	manager := listenDatagrams(t, filepath.Join(r.Dir, "notify"))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	listener.Close()
	cmd := startService(t, "redis: "+r.URI()+"\nlog: {level: error}\nroutes: [{type: t, command: {argv: [cat]}}]\n",
		[]string{"NOTIFY_SOCKET=" + manager.path, "WATCHDOG_USEC=400000", "LISTEN_FDS=1"}, []*os.File{file})
	file.Close()
	Eventually(t, 30*time.Second, "READY", func() bool {
		return manager.count("READY=1", "STATUS=1 routes, 1 queues, concurrency 50") == 1
	})
	Eventually(t, 30*time.Second, "signs of life", func() bool { return manager.count("WATCHDOG=1") > 3 })
	if status, body := ask(t, "GET", url+"/healthz", ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if status, body := ask(t, "POST", url+"/v1/tasks", `{"type": "t"}`, asJSON); status != 201 {
		t.Errorf("posting over systemd's loopback socket: %d %s", status, body)
	}
	release := HoldThreads(t, cmd.Process.Pid) // the server's loop is among them; the main thread, which gives the signs, runs on
	before, since := manager.count("WATCHDOG=1"), time.Now()
	Eventually(t, 3*time.Minute, "no sign of life for 3 s, as the server is stuck", func() bool {
		if count := manager.count("WATCHDOG=1"); count != before {
			before, since = count, time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
	if status, body := ask(t, "GET", url+"/healthz", ""); status != 503 || !strings.Contains(body, `"status":"stuck"`) {
		t.Errorf("%d %s", status, body)
	}
	before = manager.count("WATCHDOG=1")
	release()
	Eventually(t, 30*time.Second, "signs of life again", func() bool { return manager.count("WATCHDOG=1") > before })
	if status, body := ask(t, "GET", url+"/healthz", ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	Eventually(t, 30*time.Second, "STOPPING", func() bool { return manager.count("STOPPING=1") == 1 })
}

// TestSuspended: time in which all of asynqd stood still is no reason to end it.
func TestSuspended(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, command: {argv: [cat]}}]\n")
	d.Signal(syscall.SIGSTOP)
	time.Sleep(12 * time.Second) // longer than its loop may stand still
	d.Signal(syscall.SIGCONT)
	for range 200 {
		if status, body := ask(t, "GET", d.URL()+"/healthz", ""); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
}

// TestStuckIsEndedInTime: what ends a stuck asynqd does so before others take its tasks over.
func TestStuckIsEndedInTime(t *testing.T) {
	const lease, stuck = 30, 10
	for file, late := range map[string]func(string) int{
		"systemd/asynqd.service": func(text string) int { return number(t, text, `\nWatchdogSec=(\d+)\n`) },
		"container/Containerfile": func(text string) int {
			looks := number(t, text, `--retries=(\d+)`)
			return looks * (number(t, text, `--interval=(\d+)s`) + number(t, text, `--timeout=(\d+)s`))
		},
	} {
		text, err := os.ReadFile("../../../contrib/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if seconds := late(string(text)); stuck+seconds >= lease {
			t.Errorf("%s: %d s", file, stuck+seconds)
		}
	}
}

func number(t testing.TB, text, pattern string) int {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("there is no %s", pattern)
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// TestJournal: lines go to the journal field by field. It runs in a file system of its own, as the journal's place is fixed.
func TestJournal(t *testing.T) {
	t.Parallel()
	if os.Getenv("ASYNQ_OWN_RUN") == "" {
		cmd := exec.Command("unshare", "--map-root-user", "--mount", "--fork", os.Args[0], "-test.run", "^TestJournal$", "-test.v",
			"-test.timeout", "2m")
		cmd.Env = append(os.Environ(), "ASYNQ_OWN_RUN=1")
		output, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "--- PASS: TestJournal") {
			t.Errorf("with its own /run: %v\n%s", err, output)
		}
		return
	}
	if output, err := exec.Command("mount", "-t", "tmpfs", "none", "/run").CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, output)
	}
	if err := os.MkdirAll("/run/systemd/journal", 0o755); err != nil {
		t.Fatal(err)
	}
	journal := listenDatagrams(t, "/run/systemd/journal/socket")
	r := StartRedis(t)
	startService(t, "redis: "+r.URI()+"\nlog: {output: journal}\nroutes: [{type: t, command: {shell: 'printf \"two\\nlines\" >&2; exit 1'}}]\n", nil, nil,
		"--endpoints-listen", "")
	Eventually(t, 30*time.Second, "the first line", func() bool {
		return journal.count("MESSAGE=asynqd ready: asynqd "+Version(t), "PRIORITY=6", "SYSLOG_IDENTIFIER=asynqd") == 1
	})
	enqueue(t, r, "task-1", "t", "")
	Eventually(t, 30*time.Second, "the attempt", func() bool {
		return journal.count("MESSAGE=attempt archived\n", "PRIORITY=3\n", "TASK=task-1\n", "OUTCOME=archived\n", "QUEUE=default\n",
			"ERROR_CLASS=exit_status\n", "two\nlines") == 1
	})
	fmt.Println("the journal has", journal.count(""), "lines")
}
