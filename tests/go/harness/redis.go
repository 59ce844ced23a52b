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
	Client redis.UniversalClient
	login  string   // of our programs: "user:password@"
	nodes  *Cluster // it is several servers: see StartSpread
	finder *FakeSentinel
	under  []string // words of a command that is to start it
	args   []string
	cmd    *exec.Cmd
}

// StartRedis starts a server that ends with the test. Further arguments go to redis-server. With ASYNQ_TEST_RIGHTS our
// programs have only the rights that are documented; with ASYNQ_TEST_CLUSTER each is a cluster of one node, with
// ASYNQ_TEST_NODES one of three; with ASYNQ_TEST_SENTINEL our programs ask a sentinel where it is.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	if IsSpread() && !slices.Contains(args, "--port") {
		return StartSpread(t, args...).limited()
	}
	isCluster := os.Getenv("ASYNQ_TEST_CLUSTER") != "" && !slices.Contains(args, "--port")
	if isCluster {
		args = append(args, clusterArgs(t)...)
	}
	var address string
	if os.Getenv("ASYNQ_TEST_SENTINEL") != "" && !slices.Contains(args, "--port") {
		port := fmt.Sprint(FreePort(t))
		args = append(args, "--port", port, "--bind", "127.0.0.1")
		address = "127.0.0.1:" + port
	}
	r := StartRedisUnder(t, nil, args...)
	if address != "" {
		r.finder = StartFakeSentinel(t, "127.0.0.1").Names(address)
	}
	if isCluster {
		r.takeAllSlots()
	}
	return r.limited()
}

func (r *Redis) limited() *Redis {
	r.t.Helper()
	if os.Getenv("ASYNQ_TEST_RIGHTS") != "" {
		r.LogInAs("worker", "client", "scheduler", "operator")
	}
	return r
}

// StartRedisUnder is StartRedis with the words of a command that is to start it.
func StartRedisUnder(t testing.TB, under []string, args ...string) *Redis {
	t.Helper()
	r := newRedis(t, under, args...)
	r.Start()
	return r
}

// newRedis is a server that is not started yet.
func newRedis(t testing.TB, under []string, args ...string) *Redis {
	t.Helper()
	dir, err := os.MkdirTemp("", "asynq-test-") // t.TempDir() makes names that are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	r := &Redis{t: t, Dir: dir, Socket: filepath.Join(dir, "s"), under: under, args: args}
	t.Cleanup(func() {
		if r.Client != nil {
			r.Client.Close()
		}
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
	return []string{"--port", fmt.Sprint(ClusterPort(t)), "--bind", "127.0.0.1", "--cluster-enabled", "yes"}
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
	rule := []any{"ACL", "SETUSER", user, "reset", "resetchannels", "on", ">secret"} // Redis 6.2 gives all channels
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
		if r.nodes != nil {
			rights = append(rights, rightsInClusters(r.t, r.nodes.Masters[0], role)...)
		}
	}
	r.logIn(strings.Join(roles, "-"), rights)
	return r
}

// LogInWithPrefix is LogInAs where all keys and channels begin with this instead of "asynq".
func (r *Redis) LogInWithPrefix(prefix string, roles ...string) *Redis {
	r.t.Helper()
	var rights []string
	for _, role := range roles {
		for _, right := range documentedRights(r.t, role) {
			if len(right) > 1 && strings.ContainsRune("~&", rune(right[0])) {
				right = right[:1] + strings.Replace(right[1:], "asynq:", prefix+":", 1)
			}
			rights = append(rights, right)
		}
		if r.nodes != nil {
			rights = append(rights, rightsInClusters(r.t, r.nodes.Masters[0], role)...)
		}
	}
	r.logIn("tenant", rights)
	return r
}

// documentedRights are the words behind "ACL SETUSER <role> on >SECRET" in docs/access.md that give something; a new user
// has nothing.
func documentedRights(t testing.TB, role string) []string {
	t.Helper()
	_, rest, found := strings.Cut(documentOfRights(t), "ACL SETUSER "+role+" on >SECRET resetkeys resetchannels -@all ")
	rule, _, ends := strings.Cut(rest, "```")
	if !found || !ends {
		t.Fatalf("docs/access.md has no rule for %s", role)
	}
	return strings.Fields(rule)
}

func documentOfRights(t testing.TB) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	return readFile(t, filepath.Join(filepath.Dir(file), "../../../docs/access.md"))
}

// AwaitReplica waits until it is the replica of another one, and has all that that one had.
func (r *Redis) AwaitReplica() {
	r.t.Helper()
	Eventually(r.t, 60*time.Second, "a node to be a replica", func() bool {
		info, err := r.Client.Info(Ctx, "replication").Result()
		return err == nil && strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up")
	})
}

// replicaAddress is where the first of its replicas is; ":" if it has none.
func (r *Redis) replicaAddress() string {
	r.t.Helper()
	_, rest, _ := strings.Cut(r.Text("INFO", "replication"), "slave0:ip=")
	rest, _, _ = strings.Cut(rest, ",state=")
	host, port, _ := strings.Cut(rest, ",port=")
	return host + ":" + port
}

// CutReplicas ends the connections of its replicas, and lets them not come back. It goes on, and what it takes from now on it
// has alone.
func (r *Redis) CutReplicas() {
	r.t.Helper()
	r.Do("ACL", "SETUSER", "default", "-psync", "-sync")
	r.Do("CLIENT", "KILL", "TYPE", "replica")
}

// LetReplicas takes CutReplicas back.
func (r *Redis) LetReplicas() {
	r.t.Helper()
	r.Do("ACL", "SETUSER", "default", "+psync", "+sync")
}

// Errors is how often Redis has answered with errors that begin with a word.
func (r *Redis) Errors(word string) int {
	r.t.Helper()
	sum := 0
	for _, server := range r.servers() {
		_, rest, found := strings.Cut(server.Text("INFO", "errorstats"), "errorstat_"+word+":count=")
		count := 0
		if found {
			fmt.Sscanf(rest, "%d", &count)
		}
		sum += count
	}
	return sum
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
	for _, server := range r.servers() {
		server.launch()
	}
	if r.nodes != nil {
		r.nodes.isWhole()
	}
	Eventually(r.t, 30*time.Second, "Redis to answer", func() bool {
		err := r.Client.Ping(context.Background()).Err()
		return err == nil || strings.Contains(err.Error(), "NOAUTH")
	})
}

func (r *Redis) launch() {
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
}

// Stop suspends the server, and Continue wakes it up.
func (r *Redis) Stop() {
	for _, server := range r.servers() {
		suspend(server.cmd.Process)
	}
}

// Pid is that of the server.
func (r *Redis) Pid() int { return r.cmd.Process.Pid }

// isAsleep tells whether it was stopped; one that was killed is not.
func (r *Redis) isAsleep() bool { return r.cmd != nil && isSuspended(r.Pid()) }

// Continue wakes it up.
func (r *Redis) Continue() {
	for _, server := range r.servers() {
		server.cmd.Process.Signal(syscall.SIGCONT)
	}
}

// Kill ends the server at once.
func (r *Redis) Kill() {
	for _, server := range r.servers() {
		if server.cmd != nil {
			server.cmd.Process.Kill()
			server.cmd.Wait()
			server.cmd = nil
		}
	}
}

// URI is the address in our library's form.
func (r *Redis) URI() string {
	if r.nodes != nil {
		return r.nodes.uri(r.login)
	}
	if r.finder == nil {
		return "unix://" + r.login + r.Socket
	}
	if r.login == "" {
		return SentinelURI("", r.finder)
	}
	user, password, _ := strings.Cut(strings.TrimSuffix(r.login, "@"), ":")
	return SentinelURI("&username="+user+"&password="+password, r.finder)
}

// Opt is the address in Asynq's form.
func (r *Redis) Opt() asynq.RedisConnOpt {
	if r.nodes != nil {
		return r.nodes.Opt()
	}
	return asynq.RedisClientOpt{Network: "unix", Addr: r.Socket}
}

// Do runs a command and fails the test on an error.
func (r *Redis) Do(args ...any) any {
	r.t.Helper()
	if r.nodes != nil && isForAll(args[0]) {
		return r.doOnAll(args...)
	}
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
