package system

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestSentinelFailover: real sentinels promote the replica. What runs at that time is written to the new master, what is
// enqueued meanwhile waits for it, and each task runs once. By order, the old master takes writes until it is told, and they are
// lost with it; so nothing is enqueued before our programs have left it.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*Sentinels, *Redis){
		"by order": func(s *Sentinels, _ *Redis) { s.Failover() },
		"kill -9":  func(_ *Sentinels, master *Redis) { master.Kill() },
		"stopped":  func(_ *Sentinels, master *Redis) { master.Stop() },
		"with a sentinel": func(s *Sentinels, master *Redis) {
			s.KillWatcher(0)
			master.Kill()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := StartSentinels(t)
			first := s.Master()
			server := StartCServer(t, s.URI(), ServerOptions{Concurrency: 5, LedgerPath: filepath.Join(first.Dir, "ledger")})
			peer := StartPeer(t, s.URI())
			peer.Must("client.options", M{"timeout_ms": 60_000})
			enqueue := func(count int, ms int) {
				for range count {
					answer := peer.Must("enqueue", Task{Type: "t", Payload: Wish{SleepMs: ms}.Payload()}.ForC())
					equal(t, "status of enqueueing", Status(answer), 0)
				}
			}
			enqueue(5, 7000)
			Eventually(t, 10*time.Second, "tasks to run", func() bool { return len(Starts(server.Ledger())) == 5 })
			enqueue(10, 0)
			s.AwaitSync()
			done, failed := make(chan bool), make(chan bool)
			go func() { // not before the old one is left: what it had taken just before would be lost with it
				defer close(done)
				if name == "by order" {
					Eventually(t, 60*time.Second, "our connections to leave", func() bool { return len(ours(first)) == 0 })
				} else {
					<-failed
				}
				enqueue(20, 0)
			}()
			fail(s, first)
			close(failed)
			master := s.AwaitFailover(first)
			<-done
			if name == "stopped" {
				first.Continue() // and finds that it is a master no more
			}
			client := asynq.NewClient(s.Opt())
			defer client.Close()
			if _, err := client.Enqueue(asynq.NewTask("t", []byte("{}"))); err != nil {
				t.Error("Go's client:", err)
			}
			defer func() {
				if t.Failed() {
					t.Logf("%d lines, runs %v, pending %d, active %d: %v", len(server.Ledger()), Starts(server.Ledger()),
						master.Int("LLEN", QueueKey("default", "pending")), master.Int("LLEN", QueueKey("default", "active")), server.Notes())
				}
			}()
			Eventually(t, 30*time.Second, "all tasks to end", func() bool {
				return len(server.Ledger()) == 2*36 && master.Int("LLEN", QueueKey("default", "active")) == 0
			})
			for id, runs := range Starts(server.Ledger()) {
				equal(t, "runs of "+id, runs, 1)
			}
			IsWell(t, master)
		})
	}
}

// ours are the connections of our programs at a Redis.
func ours(r *Redis) (found []string) {
	for _, line := range strings.Split(r.Text("CLIENT", "LIST"), "\n") {
		if strings.Contains(line, "name=asynq-") {
			found = append(found, line)
		}
	}
	return found
}

// at waits until a connection of ours is at this Redis.
func at(t *testing.T, r *Redis, limit time.Duration) {
	t.Helper()
	Eventually(t, limit, "a connection to the right Redis", func() bool { return len(ours(r)) > 0 })
}

// TestSentinelsAnswer: what sentinels may say, and that the master is found all the same.
func TestSentinelsAnswer(t *testing.T) {
	t.Parallel()
	right, address := StartRedisOnPort(t)
	_, other := StartRedisOnPort(t)
	hangs := func(f *FakeSentinel) { f.Answers(nil) }
	names := func(address string) func(*FakeSentinel) { return func(f *FakeSentinel) { f.Names(address) } }
	says := func(reply string) func(*FakeSentinel) { return func(f *FakeSentinel) { f.Says(reply) } }
	for name, sentinels := range map[string][]func(*FakeSentinel){
		"all of one opinion":                    {names(address), names(address), names(address)},
		"the first hangs":                       {hangs, names(address), names(address)},
		"only one answers":                      {hangs, names(address), hangs},
		"one in a minority names an old master": {names(other), names(address), names(address)},
		"one has lost its rights":               {says("-NOPERM no rights"), names(address)},
		"one knows no master":                   {says("*-1\r\n"), names(address)},
		"one answers with a port that is none":  {says("*2\r\n$1\r\nh\r\n$6\r\n999999\r\n"), names(address)},
		"one answers with a port and more":      {says("*2\r\n$1\r\nh\r\n$3\r\n1 2\r\n"), names(address)},
		"one answers with one text":             {says("*1\r\n$1\r\nh\r\n"), names(address)},
		"one answers with numbers":              {says("*2\r\n:1\r\n:2\r\n"), names(address)},
		"one answers with a long host":          {says("*2\r\n$2000\r\n" + strings.Repeat("h", 2000) + "\r\n$1\r\n1\r\n"), names(address)},
		"one answers with no protocol":          {says("HTTP/1.1 200 OK\r\n\r\n"), names(address)},
		"one promises more than there is":       {says("*1000000000\r\n"), names(address)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all []*FakeSentinel
			for _, act := range sentinels {
				f := StartFakeSentinel(t, "127.0.0.1")
				act(f)
				all = append(all, f)
			}
			peer := StartPeer(t, SentinelURI("", all...))
			id := strings.ReplaceAll(name, " ", "-")
			equal(t, "status", Status(peer.Do("enqueue", Task{Own: Options{ID: P(id)}, Type: "t", Payload: P("{}")}.ForC())), 0)
			equal(t, "tasks at the right one", right.Int("EXISTS", "asynq:{default}:t:"+id), 1)
		})
	}
}

// TestSentinelComplaints: what is wrong, and where, stands in the error.
func TestSentinelComplaints(t *testing.T) {
	t.Parallel()
	_, address := StartRedisOnPort(t)
	replica := fmt.Sprint("127.0.0.1:", FreePort(t))
	host, port, _ := net.SplitHostPort(address)
	StartRedis(t, "--port", replica[len("127.0.0.1:"):], "--bind", "127.0.0.1", "--replicaof", host, port)
	for name, c := range map[string]struct {
		reply, want string
	}{
		"no such master": {"*-1\r\n", "watches no master of this name (master=)"},
		"a password":     {"-NOAUTH Authentication required.\r\n", "NOAUTH Authentication required."},
		"no rights":      {"-NOPERM this user has no permissions\r\n", "NOPERM this user"},
		"a replica":      {"", "the sentinels named a Redis that is no master; its role is: slave"},
		"another":        {"-ERR unknown command `SENTINEL`\r\n", "ERR unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := StartFakeSentinel(t, "127.0.0.1")
			f.Says(c.reply)
			if c.reply == "" {
				f.Names(replica)
			}
			peer := StartPeer(t, SentinelURI("", f))
			peer.Must("client.options", M{"timeout_ms": 1500})
			answer := peer.Do("enqueue", Task{Type: "t", Payload: P("{}")}.ForC())
			if text := fmt.Sprint(answer["error"]); !strings.Contains(text, c.want) {
				t.Errorf("the error is %q, without %q", text, c.want)
			}
			if asked := f.Asked(); asked > 40 {
				t.Errorf("%d questions in 1.5 s", asked)
			}
		})
	}
}

// TestTopHidesPasswords: what top shows of a URI has no password, wherever it stands.
func TestTopHidesPasswords(t *testing.T) {
	t.Parallel()
	r, address := StartRedisOnPort(t)
	r.Do("ACL", "SETUSER", "looker", "on", ">hid%den", "~*", "&*", "+@all")
	f := StartFakeSentinel(t, "127.0.0.1").Names(address)
	uri := strings.Replace(SentinelURI("&username=looker&password=hid%25den", f), "://", "://:hidden@", 1)
	top := StartTerminal(t, 150, 24, fmt.Sprintf("%s top --uri '%s'; sleep 100", filepath.Join(BuildDir(), "asynqctl"), uri))
	top.Shows("master mymaster/0 of 1 sentinel", "q quit")
	if screen := top.Screen(); strings.Contains(screen, "hid") {
		t.Error(screen)
	}
}

// TestSentinelRings: a sentinel that tells of a switch all the time is not asked all the time, and work goes on.
func TestSentinelRings(t *testing.T) {
	t.Parallel()
	r, address := StartRedisOnPort(t)
	f := StartFakeSentinel(t, "127.0.0.1")
	f.Answers(func(words []string) string {
		if words[0] == "SUBSCRIBE" {
			return strings.Repeat("*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$18\r\nmymaster h 1 h 2 x\r\n", 1000)
		}
		return MasterReply(address)
	})
	peer := StartPeer(t, SentinelURI("", f))
	peer.Must("ping", nil)
	before := f.Asked()
	time.Sleep(2 * time.Second)
	if asked := f.Asked() - before; asked < 6 || asked > 3*11 {
		t.Errorf("%d commands in 2 s", asked)
	}
	equal(t, "status", Status(peer.Do("enqueue", Task{Type: "t", Payload: P("{}")}.ForC())), 0)
	equal(t, "tasks", tasksLeft(r), 1)
}

// TestSentinelCredentials: the password before the hosts is the sentinels', those in the parameters are of Redis.
func TestSentinelCredentials(t *testing.T) {
	t.Parallel()
	r, address := StartRedisOnPort(t)
	r.Do("ACL", "SETUSER", "worker", "on", ">da ta", "~*", "&*", "+@all")
	r.Do("CONFIG", "SET", "requirepass", "other")
	login := make(chan string, 8)
	f := StartFakeSentinel(t, "::1")
	f.Answers(func(words []string) string {
		if words[0] == "AUTH" {
			login <- strings.Join(words[1:], " ")
			return "+OK\r\n"
		}
		return MasterReply(address)
	})
	uri := strings.Replace(SentinelURI("&username=worker&password=da%20ta", f), "://", "://watch:s%40t@", 1)
	peer := StartPeer(t, uri)
	equal(t, "status", Status(peer.Do("enqueue", Task{Own: Options{ID: P("x")}, Type: "t", Payload: P("{}")}.ForC())), 0)
	equal(t, "the sentinel was told", <-login, "watch s@t")
	r.Do("AUTH", "other")
	equal(t, "tasks", r.Int("EXISTS", "asynq:{default}:t:x"), 1)
}

// TestSentinelOverTLS: real sentinels and nodes that speak nothing else, through a failover, and with Go's client beside ours.
func TestSentinelOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificates(t, dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	s := StartSentinelsOverTLS(t, trusting(t, file("ca.crt")), "tls-cert-file", file("server.crt"), "tls-key-file", file("server.key"),
		"tls-ca-cert-file", file("ca.crt"), "tls-auth-clients", "no")
	trusted := s.URI() + "&ca_file=" + file("ca.crt")
	peer := StartPeer(t, s.URI()+"&tls=on&sentinel_tls=on")
	peer.Must("client.options", M{"timeout_ms": 2000})
	Eventually(t, time.Minute, "the certificate to be refused", func() bool { // who answers late is "no answer"
		return strings.Contains(fmt.Sprint(peer.Do("ping", nil)["error"]), "certificate is not trusted")
	})
	refusedWithin(t, 2*time.Second, trusted+"&tls=on", 0, "no sentinel says where the master")
	refusedWithin(t, 2*time.Second, trusted+"&sentinel_tls=on", 0, "cannot be reached")
	uri := trusted + "&tls=on&sentinel_tls=on"
	server := StartCServer(t, uri, ServerOptions{LedgerPath: file("ledger")})
	peer = StartPeer(t, uri)
	peer.Must("client.options", M{"timeout_ms": 60_000})
	enqueue := func(id string) {
		equal(t, "status of "+id, Status(peer.Do("enqueue", Task{Own: Options{ID: P(id)}, Type: "t", Payload: P("{}")}.ForC())), 0)
	}
	enqueue("before")
	first := s.Master()
	s.AwaitSync()
	first.Kill()
	s.AwaitFailover(first)
	enqueue("after")
	client := asynq.NewClient(s.Opt())
	defer client.Close()
	if _, err := client.Enqueue(asynq.NewTask("t", []byte("{}")), asynq.TaskID("of-go")); err != nil {
		t.Error("Go's client:", err)
	}
	Eventually(t, 30*time.Second, "all tasks to run", func() bool { return len(Starts(server.Ledger())) == 3 })
}

// TestSentinelHeals: the sentinels name another Redis while the old one goes on to answer, as after a partition. Work and
// subscriber move within seconds, such moves leave no descriptor behind, and idle servers go on to be woken.
func TestSentinelHeals(t *testing.T) {
	t.Parallel()
	var nodes [2]*Redis
	var addresses [2]string
	for i := range nodes {
		nodes[i], addresses[i] = StartRedisOnPort(t)
	}
	f := StartFakeSentinel(t, "127.0.0.1").Names(addresses[0])
	server := StartCServer(t, SentinelURI("", f), ServerOptions{Concurrency: 5, LedgerPath: filepath.Join(nodes[0].Dir, "ledger")})
	at(t, nodes[0], 10*time.Second)
	f.Names(addresses[1])
	at(t, nodes[1], 20*time.Second)
	descriptors := func() int {
		files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", server.Pid()))
		return len(files)
	}
	move := func(i int) {
		f.Names(addresses[i%2])
		nodes[(i+1)%2].Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		nodes[(i+1)%2].Do("CLIENT", "KILL", "TYPE", "pubsub")
		at(t, nodes[i%2], 20*time.Second)
	}
	for i := range 2 {
		move(i)
	}
	before := descriptors()
	for i := range 6 {
		move(i)
	}
	Eventually(t, 10*time.Second, fmt.Sprint(before, " descriptors again"), func() bool { return descriptors() <= before+2 })
	NewGoEnqueuer(t, nodes[1]).Enqueue(Task{Type: "t", Payload: P("{}")})
	waitEmpty(t, nodes[1], 10*time.Second)
	equal(t, "lines of the ledger", len(server.Ledger()), 2)
	Eventually(t, 10*time.Second, "one subscription for each connection", func() bool { return f.Open() <= 2 })
}
