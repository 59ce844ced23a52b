package harness

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// MasterName is the name of the master that sentinels watch.
const MasterName = "mymaster"

// Sentinels are a master, a replica, and three sentinels that watch them.
type Sentinels struct {
	t         testing.TB
	tls       *tls.Config // nil: none
	tlsFiles  []string    // options of Redis and their values
	args      []string    // more for Redis
	nodes     []*Redis
	addresses []string // of the nodes, in the same order
	watchers  []string // addresses of the sentinels
	processes []*os.Process
}

// StartSentinels starts all of them, and waits until the sentinels know one another and the replica. args go to the master and
// to the replica.
func StartSentinels(t testing.TB, args ...string) *Sentinels {
	t.Helper()
	return (&Sentinels{t: t, args: args}).begin()
}

// StartSentinelsOverTLS is StartSentinels where nodes, sentinels and programs speak TLS only. files: options of Redis that name
// certificates and keys, each before its value.
func StartSentinelsOverTLS(t testing.TB, config *tls.Config, files ...string) *Sentinels {
	t.Helper()
	return (&Sentinels{t: t, tls: config, tlsFiles: files}).begin()
}

// port is the option for the only port that a node or a sentinel has.
func (s *Sentinels) port() string {
	if s.tls != nil {
		return "tls-port"
	}
	return "port"
}

func (s *Sentinels) begin() *Sentinels {
	t := s.t
	t.Helper()
	for i := range 2 {
		port := FreePort(t)
		args := []string{"--" + s.port(), fmt.Sprint(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"}
		args = append(args, s.args...)
		if s.tls != nil {
			args = append(args, "--tls-replication", "yes")
		}
		for i := 0; i < len(s.tlsFiles); i += 2 {
			args = append(args, "--"+s.tlsFiles[i], s.tlsFiles[i+1])
		}
		if i > 0 {
			_, master, _ := net.SplitHostPort(s.addresses[0])
			args = append(args, "--replicaof", "127.0.0.1", master)
		}
		s.nodes = append(s.nodes, StartRedis(t, args...))
		s.addresses = append(s.addresses, fmt.Sprint("127.0.0.1:", port))
	}
	for i := range 3 {
		s.startWatcher(i)
	}
	Eventually(t, 90*time.Second, "the sentinels to agree", func() bool {
		ready := 0
		s.ask(func(client *redis.SentinelClient) {
			usable, _ := client.CkQuorum(context.Background(), MasterName).Result()
			replicas, _ := client.Replicas(context.Background(), MasterName).Result()
			if strings.Contains(usable, "3 usable") && len(replicas) == 1 {
				ready++
			}
		})
		return ready == len(s.watchers)
	})
	return s
}

func (s *Sentinels) startWatcher(number int) {
	port := FreePort(s.t)
	_, master, _ := net.SplitHostPort(s.addresses[0])
	file := filepath.Join(s.nodes[0].Dir, fmt.Sprint("sentinel", number))
	// Down only after 3 s: on a busy machine, a Redis that answers late would be taken for dead.
	text := fmt.Sprintf("%s %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %[4]s 127.0.0.1 %[5]s 2\n"+
		"sentinel down-after-milliseconds %[4]s 3000\nsentinel failover-timeout %[4]s 9000\nloglevel warning\n",
		s.port(), port, s.nodes[0].Dir, MasterName, master)
	if s.tls != nil {
		text += "port 0\ntls-replication yes\n"
	}
	for i := 0; i < len(s.tlsFiles); i += 2 {
		text += s.tlsFiles[i] + " " + s.tlsFiles[i+1] + "\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(Binary(), file, "--sentinel")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	s.processes = append(s.processes, cmd.Process)
	s.watchers = append(s.watchers, fmt.Sprint("127.0.0.1:", port))
}

// ask asks all sentinels, one after the other.
func (s *Sentinels) ask(question func(*redis.SentinelClient)) {
	for _, address := range s.watchers {
		client := redis.NewSentinelClient(&redis.Options{Addr: address, TLSConfig: s.tls})
		question(client)
		client.Close()
	}
}

// URI is the address in our library's form.
func (s *Sentinels) URI() string {
	return "redis-sentinel://" + strings.Join(s.watchers, ",") + "/0?master=" + MasterName
}

// Opt is the address in Asynq's form.
func (s *Sentinels) Opt() asynq.RedisFailoverClientOpt {
	return asynq.RedisFailoverClientOpt{MasterName: MasterName, SentinelAddrs: s.watchers, TLSConfig: s.tls}
}

// KillWatcher ends a sentinel.
func (s *Sentinels) KillWatcher(number int) { s.processes[number].Kill() }

// Master is the node that most sentinels name; nil: none that we know.
func (s *Sentinels) Master() *Redis {
	votes := map[string]int{}
	s.ask(func(client *redis.SentinelClient) {
		named, _ := client.GetMasterAddrByName(context.Background(), MasterName).Result()
		if len(named) == 2 {
			votes[net.JoinHostPort(named[0], named[1])]++
		}
	})
	for i, address := range s.addresses {
		if votes[address] >= 2 {
			return s.nodes[i]
		}
	}
	return nil
}

// ReplicaOf is the other node.
func (s *Sentinels) ReplicaOf(node *Redis) *Redis {
	if node == s.nodes[0] {
		return s.nodes[1]
	}
	return s.nodes[0]
}

// AwaitSync waits until the replica has all that the master has.
func (s *Sentinels) AwaitSync() {
	s.t.Helper()
	Eventually(s.t, 30*time.Second, "the replica to have all", func() bool {
		offsets := map[string]bool{}
		for _, node := range s.nodes {
			info := node.Text("INFO", "replication")
			_, rest, _ := strings.Cut(info, "master_repl_offset:")
			offset, _, _ := strings.Cut(rest, "\r")
			offsets[offset] = true
		}
		return len(offsets) == 1
	})
}

// AwaitFailover waits until another node is the master, and takes writes.
func (s *Sentinels) AwaitFailover(from *Redis) *Redis {
	s.t.Helper()
	var master *Redis
	Eventually(s.t, 60*time.Second, "another master", func() bool {
		master = s.Master()
		return master != nil && master != from && strings.Contains(master.Text("INFO", "replication"), "role:master")
	})
	return master
}

// Failover makes the sentinels promote the replica while the master works on.
func (s *Sentinels) Failover() *Redis {
	s.t.Helper()
	from := s.Master()
	client := redis.NewSentinelClient(&redis.Options{Addr: s.watchers[0], TLSConfig: s.tls})
	defer client.Close()
	Eventually(s.t, 30*time.Second, "the sentinels to take the order", func() bool {
		return client.Failover(context.Background(), MasterName).Err() == nil
	})
	return s.AwaitFailover(from)
}
