package daemon

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"github.com/redis/go-redis/v9"
)

// redisPid is the process of the private Redis in a directory.
func redisPid(t testing.TB, directory string) int {
	t.Helper()
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: filepath.Join(directory, "redis.sock")})
	defer client.Close()
	var pid int
	Eventually(t, 30*time.Second, "the private Redis", func() bool {
		text, err := client.Info(context.Background(), "server").Result()
		for _, line := range strings.Split(text, "\r\n") {
			if value, found := strings.CutPrefix(line, "process_id:"); found {
				pid, _ = strconv.Atoi(value)
			}
		}
		return err == nil && pid > 0
	})
	return pid
}

// TestPrivateRedis: asynqd with nothing but a route is a working task server; its Redis comes back when it is killed, keeps
// what it has over restarts, and ends with asynqd, however that ends.
func TestPrivateRedis(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "asynqd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := FreePort(t)
	directory := filepath.Join(dir, "deep", "redis")
	config := fmt.Sprintf("redis: private:%s\nprivate_redis: {port: %d, program: %s}\nroutes:\n- {type: t, command: {argv: [cat]}}\n",
		directory, port, Binary())
	d := StartDaemonIn(t, dir, config)
	opt := asynq.RedisClientOpt{Addr: fmt.Sprintf("127.0.0.1:%d", port)}
	client := asynq.NewClient(opt)
	defer client.Close()
	enqueue := func(id string, opts ...asynq.Option) {
		t.Helper()
		opts = append(opts, asynq.TaskID(id), asynq.Retention(time.Hour))
		Eventually(t, 20*time.Second, "to enqueue "+id, func() bool {
			_, err := client.Enqueue(asynq.NewTask("t", nil), opts...)
			return err == nil
		})
	}
	enqueue("first")
	d.Attempt("first", 1)
	if state, _ := os.Stat(directory); state.Mode().Perm() != 0o700 {
		t.Errorf("the directory has the mode %v", state.Mode())
	}

	second, err := DaemonCommand("--config", d.File).CombinedOutput()
	if err == nil || !strings.Contains(string(second), "another asynqd runs the private Redis in "+directory) {
		t.Errorf("a second one: %v, %s", err, second)
	}

	time.Sleep(1500 * time.Millisecond) // longer than the second for which AOF may lag behind
	pid := redisPid(t, directory)
	if err := exec.Command("kill", "-9", strconv.Itoa(pid)).Run(); err != nil {
		t.Fatal(err)
	}
	enqueue("second")
	d.Attempt("second", 1)
	if len(d.Find("private redis exited: killed by signal 9 (Killed)")) != 1 {
		t.Errorf("the end is not logged: %s", d.Text())
	}

	enqueue("kept", asynq.ProcessIn(time.Hour))
	pid = redisPid(t, directory)
	d.End()
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
		t.Errorf("its Redis still runs")
	}

	d = StartDaemonIn(t, dir, config)
	inspector := asynq.NewInspector(opt)
	defer inspector.Close()
	for _, id := range []string{"first", "second", "kept"} {
		if _, err := inspector.GetTaskInfo("default", id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	pid = redisPid(t, directory)
	d.Kill()
	d = StartDaemonIn(t, dir, config) // waits for the old one
	if redisPid(t, directory) == pid {
		t.Errorf("two asynqds have one Redis")
	}
}

// TestPrivateRedisCannotStart: what is wrong is told at once.
func TestPrivateRedisCannotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		words []string
		want  string
	}{
		{[]string{"--redis", "private:" + blocked}, "Not a directory"},
		{[]string{"--redis", "private:" + filepath.Join(dir, "a"), "--private-redis-program", "/no/redis"}, "private_redis.program: /no/redis: No such file"},
		{[]string{"--redis", "private:" + filepath.Join(dir, "b"), "--private-redis-program", "false"}, "exit status 1"},
		{[]string{"--redis", "private:" + filepath.Join("/tmp", strings.Repeat("x", 120))}, "is too long for a socket"},
	} {
		output, err := DaemonCommand(test.words...).CombinedOutput()
		if err == nil || !strings.Contains(string(output), test.want) {
			t.Errorf("%v: %v, %s", test.words, err, output)
		}
	}
}
