// Package harness starts what tests need: private Redis servers, our peer program, Go's Asynq beside it.
package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Redis is a private redis-server on a unix socket.
type Redis struct {
	t      testing.TB
	Dir    string
	Socket string
	Client *redis.Client
	login  string   // of our programs: "user:password@"
	under  []string // words of a command that is to start it
	args   []string
	cmd    *exec.Cmd
}

// StartRedis starts a server that ends with the test. Further arguments go to redis-server. With ASYNQ_TEST_RIGHTS our
// programs have only the rights that are documented; with ASYNQ_TEST_CLUSTER each is a cluster of one node.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	isCluster := os.Getenv("ASYNQ_TEST_CLUSTER") != "" && !slices.Contains(args, "--port")
	if isCluster {
		args = append(args, clusterArgs(t)...)
	}
	r := StartRedisUnder(t, nil, args...)
	if isCluster {
		r.takeAllSlots()
	}
	if os.Getenv("ASYNQ_TEST_RIGHTS") != "" {
		r.LogInAs("worker", "client", "scheduler", "operator")
	}
	return r
}

// StartRedisUnder is StartRedis with the words of a command that is to start it.
func StartRedisUnder(t testing.TB, under []string, args ...string) *Redis {
	t.Helper()
	dir, err := os.MkdirTemp("", "asynq-test-") // t.TempDir() makes names that are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	r := &Redis{t: t, Dir: dir, Socket: filepath.Join(dir, "s"), under: under, args: args}
	r.Start()
	t.Cleanup(func() {
		r.Client.Close()
		r.Kill()
		os.RemoveAll(dir)
	})
	return r
}

// StartCluster starts a cluster of one node that has all slots. Nothing is routed; only the rules about keys hold.
func StartCluster(t testing.TB, args ...string) *Redis {
	t.Helper()
	r := StartRedis(t, append(clusterArgs(t), args...)...)
	r.takeAllSlots()
	return r
}

func clusterArgs(t testing.TB) []string {
	return []string{"--port", fmt.Sprint(FreePort(t)), "--bind", "127.0.0.1", "--cluster-enabled", "yes"}
}

func (r *Redis) takeAllSlots() {
	r.t.Helper()
	slots := []any{"CLUSTER", "ADDSLOTS"} // Redis 6.2 has no ADDSLOTSRANGE
	for slot := range 16384 {
		slots = append(slots, slot)
	}
	r.Do(slots...)
	Eventually(r.t, 30*time.Second, "the cluster's state", func() bool {
		return strings.Contains(r.Text("CLUSTER", "INFO"), "cluster_state:ok")
	})
}

// As makes our programs log in as a user with these rights; Go's and the test itself keep all.
func (r *Redis) As(rights ...string) *Redis {
	r.t.Helper()
	r.logIn("limited", rights)
	return r
}

func (r *Redis) logIn(user string, rights []string) {
	r.t.Helper()
	rule := []any{"ACL", "SETUSER", user, "reset", "on", ">secret"}
	for _, right := range rights {
		rule = append(rule, right)
	}
	r.Do(rule...)
	r.login = user + ":secret@"
}

// LogInAs makes our programs that start from now on log in with the rights that docs/access.md gives to roles. Those
// that have logged in before stay who they are.
func (r *Redis) LogInAs(roles ...string) *Redis {
	r.t.Helper()
	var rights []string
	for _, role := range roles {
		rights = append(rights, documentedRights(r.t, role)...)
	}
	r.logIn(strings.Join(roles, "-"), rights)
	return r
}

// documentedRights are the words behind "ACL SETUSER <role> on >SECRET" in docs/access.md that give something; a new user
// has nothing.
func documentedRights(t testing.TB, role string) []string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	text := readFile(t, filepath.Join(filepath.Dir(file), "../../../docs/access.md"))
	_, rest, found := strings.Cut(text, "ACL SETUSER "+role+" on >SECRET resetkeys resetchannels -@all ")
	rule, _, ends := strings.Cut(rest, "```")
	if !found || !ends {
		t.Fatalf("docs/access.md has no rule for %s", role)
	}
	return strings.Fields(rule)
}

// Errors is how often Redis has answered with errors that begin with a word.
func (r *Redis) Errors(word string) int {
	r.t.Helper()
	_, rest, found := strings.Cut(r.Text("INFO", "errorstats"), "errorstat_"+word+":count=")
	count := 0
	if found {
		fmt.Sscanf(rest, "%d", &count)
	}
	return count
}

// Binary is the redis-server that tests use.
func Binary() string {
	if path := os.Getenv("REDIS_SERVER"); path != "" {
		return path
	}
	return "redis-server"
}

// Start starts the server, again after Kill.
func (r *Redis) Start() {
	r.t.Helper()
	words := append(append([]string{}, r.under...), Binary(), "--port", "0", "--unixsocket", r.Socket, "--save", "", "--dir",
		r.Dir, "--loglevel", "warning")
	words = append(words, r.args...)
	r.cmd = exec.Command(words[0], words[1:]...)
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		r.t.Fatalf("redis-server: %v", err)
	}
	if r.Client == nil {
		r.Client = redis.NewClient(&redis.Options{Network: "unix", Addr: r.Socket})
	}
	Eventually(r.t, 30*time.Second, "Redis to answer", func() bool {
		err := r.Client.Ping(context.Background()).Err()
		return err == nil || strings.Contains(err.Error(), "NOAUTH")
	})
}

// Stop suspends the server, and Continue wakes it up.
func (r *Redis) Stop() { suspend(r.cmd.Process) }

// Continue wakes it up.
func (r *Redis) Continue() { r.cmd.Process.Signal(syscall.SIGCONT) }

// Kill ends the server at once.
func (r *Redis) Kill() {
	if r.cmd != nil {
		r.cmd.Process.Kill()
		r.cmd.Wait()
		r.cmd = nil
	}
}

// URI is the address in our library's form.
func (r *Redis) URI() string { return "unix://" + r.login + r.Socket }

// Opt is the address in Asynq's form.
func (r *Redis) Opt() asynq.RedisClientOpt {
	return asynq.RedisClientOpt{Network: "unix", Addr: r.Socket}
}

// Do runs a command and fails the test on an error.
func (r *Redis) Do(args ...any) any {
	r.t.Helper()
	value, err := r.Client.Do(context.Background(), args...).Result()
	if err != nil && err != redis.Nil {
		r.t.Fatalf("%v: %v", args, err)
	}
	return value
}

// Int is Do for integer replies.
func (r *Redis) Int(args ...any) int64 {
	r.t.Helper()
	value, _ := r.Do(args...).(int64)
	return value
}

// Text is Do for string replies.
func (r *Redis) Text(args ...any) string {
	r.t.Helper()
	value, _ := r.Do(args...).(string)
	return value
}

// Strings is Do for replies that are lists of strings.
func (r *Redis) Strings(args ...any) []string {
	r.t.Helper()
	list, _ := r.Do(args...).([]any)
	var texts []string
	for _, value := range list {
		texts = append(texts, fmt.Sprint(value))
	}
	return texts
}

// Keys lists the keys that are Asynq's, sorted. Keys of our own are left out.
func (r *Redis) Keys() []string {
	r.t.Helper()
	var keys []string
	for _, key := range r.Strings("KEYS", "*") {
		if !strings.Contains(key, "libasynq") {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys
}

// Eventually waits until a condition holds.
func Eventually(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	pause := 4 * time.Millisecond
	for end := time.Now().Add(limit); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", limit, what)
		}
		time.Sleep(pause) // what takes long is not asked for often: hundreds of tests wait at the same time
		pause = min(pause*5/4, 40*time.Millisecond)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
