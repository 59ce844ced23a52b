package harness

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Cluster is a Redis Cluster: masters that share the slots, and their replicas behind them.
type Cluster struct {
	t       testing.TB
	Masters []*Redis // as they were at the start
	Others  []*Redis // replicas, the first that of the first master
	Client  *redis.ClusterClient
	TLS     *tls.Config
	ports   map[*Redis]int
}

const clusterSlots = 16384

// StartNodes starts a cluster of so many masters, each with so many replicas. A node that is silent for a second is
// taken for dead. Each begins with a file that names all of them, so that they need not meet first; a master that has
// such a file waits 2 s before it takes commands.
func StartNodes(t testing.TB, masters, replicas int, args ...string) *Cluster {
	t.Helper()
	return (&Cluster{t: t}).begin(masters, replicas, args...)
}

// StartNodesOverTLS is StartNodes without replicas, where nodes and programs speak TLS only.
func StartNodesOverTLS(t testing.TB, masters int, config *tls.Config, args ...string) *Cluster {
	t.Helper()
	return (&Cluster{t: t, TLS: config}).begin(masters, 0, append([]string{"--tls-cluster", "yes"}, args...)...)
}

func (c *Cluster) begin(masters, replicas int, args ...string) *Cluster {
	c.t.Helper()
	c.ports = map[*Redis]int{}
	for range masters {
		c.Masters = append(c.Masters, c.add(args...))
	}
	for range masters * replicas {
		c.Others = append(c.Others, c.add(args...))
	}
	for _, node := range c.nodes() {
		c.introduce(node)
		node.launch()
	}
	c.isWhole()
	for _, replica := range c.Others {
		Eventually(c.t, 60*time.Second, "a replica to be in sync", func() bool {
			info, err := replica.Client.Info(Ctx, "replication").Result()
			return err == nil && strings.Contains(info, "master_link_status:up")
		})
	}
	c.connect()
	return c
}

func (c *Cluster) connect() {
	var addresses []string
	for _, node := range c.Masters {
		addresses = append(addresses, c.Address(node))
	}
	c.Client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: addresses, TLSConfig: c.TLS})
	c.t.Cleanup(func() { c.Client.Close() })
}

// add makes a node that is not started yet.
func (c *Cluster) add(args ...string) *Redis {
	c.t.Helper()
	port, kind := ClusterPort(c.t), "--port"
	if c.TLS != nil {
		kind = "--tls-port"
	}
	node := newRedis(c.t, nil, append([]string{kind, fmt.Sprint(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes",
		"--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"}, args...)...)
	c.ports[node] = port
	return node
}

// introduce writes the file in which a node finds itself, the others, and who has which slots.
func (c *Cluster) introduce(node *Redis) {
	c.t.Helper()
	masters := len(c.Masters)
	var text strings.Builder
	for i, known := range c.nodes() {
		role, master, slots := "master", "-", ""
		if k := i % masters; i < masters {
			slots = fmt.Sprintf(" %d-%d", c.first(k), c.first(k+1)-1)
		} else {
			role, master = "slave", c.id(c.Masters[k])
		}
		if known == node {
			role = "myself," + role
		}
		fmt.Fprintf(&text, "%s 127.0.0.1:%d@%d %s %s 0 0 %d connected%s\n", c.id(known), c.ports[known], c.ports[known]+10000,
			role, master, i%masters+1, slots)
	}
	fmt.Fprintf(&text, "vars currentEpoch %d lastVoteEpoch 0\n", masters)
	if err := os.WriteFile(filepath.Join(node.Dir, "nodes.conf"), []byte(text.String()), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// first is the first slot of a master at the start.
func (c *Cluster) first(master int) int { return master * clusterSlots / len(c.Masters) }

// id is the name of a node in the cluster.
func (c *Cluster) id(node *Redis) string { return fmt.Sprintf("%040x", c.ports[node]) }

func (c *Cluster) nodes() []*Redis { return append(append([]*Redis{}, c.Masters...), c.Others...) }

func (c *Cluster) isWhole() {
	c.t.Helper()
	for _, node := range c.nodes() {
		Eventually(c.t, 60*time.Second, "the cluster to be whole", func() bool {
			info, err := node.Client.ClusterInfo(Ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(c.nodes())))
		})
	}
}

// Add starts a master without slots.
func (c *Cluster) Add() *Redis {
	c.t.Helper()
	node := c.add()
	node.Start()
	node.Do("CLUSTER", "MEET", "127.0.0.1", c.ports[c.Masters[0]])
	c.Masters = append(c.Masters, node)
	c.isWhole()
	return node
}

// Address is host and port of a node.
func (c *Cluster) Address(node *Redis) string { return fmt.Sprintf("127.0.0.1:%d", c.ports[node]) }

// Port is that of a node.
func (c *Cluster) Port(node *Redis) int { return c.ports[node] }

// URI is where our programs find it: one node of it.
func (c *Cluster) URI() string { return c.uri("") }

func (c *Cluster) uri(login string) string {
	return "redis-cluster://" + login + c.Address(c.Masters[0])
}

// Opt is where Go's find it.
func (c *Cluster) Opt() asynq.RedisClusterClientOpt {
	return asynq.RedisClusterClientOpt{Addrs: []string{c.Address(c.Masters[0])}, TLSConfig: c.TLS}
}

// Slot of a key.
func (c *Cluster) Slot(key string) int {
	c.t.Helper()
	return int(c.Masters[0].Int("CLUSTER", "KEYSLOT", key))
}

// Owner is the master that has a slot now.
func (c *Cluster) Owner(slot int) *Redis {
	c.t.Helper()
	var owner *Redis
	Eventually(c.t, 60*time.Second, "a master of the slot", func() bool {
		for _, asked := range c.nodes() {
			if asked.isAsleep() {
				continue // it would be asked for seconds
			}
			ranges, err := asked.Client.ClusterSlots(Ctx).Result()
			if err != nil {
				continue
			}
			for _, r := range ranges {
				if r.Start <= slot && slot <= r.End && len(r.Nodes) > 0 {
					owner = c.at(r.Nodes[0].Addr)
				}
			}
			if owner != nil && strings.Contains(owner.role(), "master") {
				return true
			}
		}
		return false
	})
	return owner
}

// ReplicaOf is the node that copies this one; nil: there is none now.
func (c *Cluster) ReplicaOf(node *Redis) *Redis { return c.at(node.replicaAddress()) }

func (r *Redis) role() string {
	if r.isAsleep() {
		return "away"
	}
	role, err := r.Client.Do(Ctx, "ROLE").Slice()
	if err != nil || len(role) == 0 {
		return "away"
	}
	return fmt.Sprint(role[0])
}

func (c *Cluster) at(address string) *Redis {
	_, port, _ := net.SplitHostPort(address)
	for node, own := range c.ports {
		if fmt.Sprint(own) == port {
			return node
		}
	}
	return nil
}

// QueueOn is the name of a queue whose keys are on this master.
func (c *Cluster) QueueOn(node *Redis, prefix string) string {
	c.t.Helper()
	for i := range 1000 {
		name := fmt.Sprintf("%s%d", prefix, i)
		if c.Owner(c.Slot("asynq:{"+name+"}:pending")) == node {
			return name
		}
	}
	c.t.Fatal("no queue for the node")
	return ""
}

// A Move is a slot on its way from one master to another.
type Move struct {
	c        *Cluster
	slot     int
	from, to *Redis
}

// BeginMove has both masters know of it: from now on the old one sends what it does not have to the new one.
func (c *Cluster) BeginMove(slot int, to *Redis) *Move {
	c.t.Helper()
	m := &Move{c, slot, c.Owner(slot), to}
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", m.from.Text("CLUSTER", "MYID"))
	m.from.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", to.Text("CLUSTER", "MYID"))
	return m
}

// Some moves up to so many keys. It returns how many it moved.
func (m *Move) Some(count int) int {
	m.c.t.Helper()
	keys, err := m.from.Client.ClusterGetKeysInSlot(Ctx, m.slot, count).Result()
	if err != nil {
		m.c.t.Fatal(err)
	}
	m.keys(keys)
	return len(keys)
}

// Only moves the keys whose names contain a text.
func (m *Move) Only(text string) {
	m.c.t.Helper()
	keys, err := m.from.Client.ClusterGetKeysInSlot(Ctx, m.slot, 10000).Result()
	if err != nil {
		m.c.t.Fatal(err)
	}
	m.keys(slices.DeleteFunc(keys, func(key string) bool { return !strings.Contains(key, text) }))
}

func (m *Move) keys(keys []string) {
	m.c.t.Helper()
	words := []any{"MIGRATE", "127.0.0.1", m.c.ports[m.to], "", 0, 5000, "REPLACE", "KEYS"}
	for _, key := range keys {
		words = append(words, key)
	}
	if len(keys) > 0 {
		m.from.Do(words...)
	}
}

// Finish moves the rest, and gives the slot to its new master.
func (m *Move) Finish() {
	m.c.t.Helper()
	for m.Some(100) > 0 {
		continue
	}
	id := m.to.Text("CLUSTER", "MYID")
	m.to.Do("CLUSTER", "SETSLOT", m.slot, "NODE", id)
	m.from.Do("CLUSTER", "SETSLOT", m.slot, "NODE", id)
}
