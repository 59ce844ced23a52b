package harness

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// FakeCluster is a Redis Cluster with a script of its own: each node is a FakeRedis that says MOVED, ASK and so on by the
// tables here, and has one real Redis, which all of them share, answer what it serves. Rules of a node go before the tables.
//
//	c := StartFakeCluster(t, 3)
//	c.Give(slot, c.Nodes[1])                       // to another node: the old one says MOVED
//	c.Ask(slot, c.Nodes[2])                        // the owner says ASK from now on
//	c.Refuse(slot, "-TRYAGAIN ...")                // whoever has it
//	c.Nodes[0].On("CLUSTER SLOTS").Answer("*0")    // a rule, as for a FakeRedis
type FakeCluster struct {
	t     testing.TB
	Redis *Redis // has all the keys
	Nodes []*FakeNode

	mutex   sync.Mutex
	owners  [clusterSlots]*FakeNode
	asks    map[int]*FakeNode
	refuses map[int]string
	epoch   int
}

// FakeNode is one node of it.
type FakeNode struct {
	*FakeRedis
	Address string
	ID      string
	Told    string    // how the map names it, "host:port"; "": by its address
	Replica *FakeNode // stands behind it in the map

	cluster *FakeCluster
	served  map[string]int // by kind, and the tag in the first key
	asked   map[string]int // the same behind ASKING
}

// StartFakeCluster starts one of so many masters, which share the slots; it ends with the test.
func StartFakeCluster(t testing.TB, masters int) *FakeCluster {
	t.Helper()
	c := &FakeCluster{t: t, Redis: StartRedisUnder(t, nil), asks: map[int]*FakeNode{}, refuses: map[int]string{}, epoch: masters}
	for range masters {
		c.Add("")
	}
	for slot := range c.owners {
		c.owners[slot] = c.Nodes[slot*masters/clusterSlots]
	}
	return c
}

// Add starts a node without slots at an address; "": at one that is free.
func (c *FakeCluster) Add(address string) *FakeNode {
	c.t.Helper()
	n := &FakeNode{FakeRedis: newFakeRedis(c.t, c.Redis), cluster: c, served: map[string]int{}, asked: map[string]int{}}
	n.ID = fmt.Sprintf("%040x", proxies.Add(1))
	n.base = n.answer
	n.Address = address
	if address == "" {
		n.Address = fmt.Sprint(fakeHost(), ":", 12000+proxies.Add(1))
	}
	n.Up()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.Nodes = append(c.Nodes, n)
	return n
}

// fakeHost is an address of this process alone, so that nobody else takes a port while its node is down.
func fakeHost() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 16+pid>>16&63, pid>>8&255, pid&255)
}

// Up has it listen, again after Down.
func (n *FakeNode) Up() {
	n.t.Helper()
	n.listen("tcp", n.Address)
}

// Down closes all that it has.
func (n *FakeNode) Down() {
	n.listener.Close()
	n.Drop()
}

// Drop closes its connections.
func (n *FakeNode) Drop() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for link := range n.links {
		link.client.Close()
		link.redis.Close()
	}
}

// Hang has it answer nothing any more, until Clear.
func (n *FakeNode) Hang() { n.On("").Silence() }

// Links is how many connections it has now.
func (n *FakeNode) Links() int {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return len(n.links)
}

// URI is where our programs find it: these nodes of it, or all.
func (c *FakeCluster) URI(seeds ...*FakeNode) string {
	if len(seeds) == 0 {
		seeds = c.Nodes
	}
	var addresses []string
	for _, n := range seeds {
		addresses = append(addresses, n.Address)
	}
	return "redis-cluster://" + strings.Join(addresses, ",")
}

// Give gives a slot to a node; nil: to none.
func (c *FakeCluster) Give(slot int, to *FakeNode) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.owners[slot] = to
	delete(c.asks, slot)
}

// GiveAll gives all slots of one node to another.
func (c *FakeCluster) GiveAll(from, to *FakeNode) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for slot, owner := range c.owners {
		if owner == from {
			c.owners[slot] = to
		}
	}
}

// Ask has the owner of a slot send all of its commands on to another node.
func (c *FakeCluster) Ask(slot int, to *FakeNode) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.asks[slot] = to
}

// Refuse has commands for a slot answered with this; "": no more.
func (c *FakeCluster) Refuse(slot int, reply string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.refuses, slot)
	if reply != "" {
		c.refuses[slot] = reply + "\r\n"
	}
}

// SetEpoch sets what all nodes tell of the last election; a rule for "CLUSTER INFO" makes one differ.
func (c *FakeCluster) SetEpoch(epoch int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.epoch = epoch
}

// QueueOn is the name of a queue whose keys are on this node, and their slot.
func (c *FakeCluster) QueueOn(n *FakeNode, prefix string) (name string, slot int) {
	c.t.Helper()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for i := range 100_000 {
		name = fmt.Sprintf("%s%d", prefix, i)
		if slot = SlotOf(name); c.owners[slot] == n {
			return name, slot
		}
	}
	c.t.Fatal("no queue for the node")
	return "", 0
}

// Served is how many commands of a kind for a queue it has had the real Redis answer, and how many of those it was asked
// for with ASKING.
func (n *FakeNode) Served(kind, queue string) (served, asked int) {
	n.cluster.mutex.Lock()
	defer n.cluster.mutex.Unlock()
	key := kind + " " + queue
	return n.served[key], n.asked[key]
}

// Map is how it tells the map of slots.
func (c *FakeCluster) Map() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var ranges []string
	for first := 0; first < clusterSlots; {
		owner, end := c.owners[first], first
		for end < clusterSlots && c.owners[end] == owner {
			end++
		}
		if owner != nil {
			nodes := []string{owner.place()}
			if owner.Replica != nil {
				nodes = append(nodes, owner.Replica.place())
			}
			ranges = append(ranges, fmt.Sprintf("*%d\r\n:%d\r\n:%d\r\n%s", 2+len(nodes), first, end-1, strings.Join(nodes, "")))
		}
		first = end
	}
	return fmt.Sprintf("*%d\r\n%s", len(ranges), strings.Join(ranges, ""))
}

func (n *FakeNode) place() string {
	told := n.Told
	if told == "" {
		told = n.Address
	}
	host, port, _ := net.SplitHostPort(told)
	return fmt.Sprintf("*3\r\n%s:%s\r\n%s", bulk(host), port, bulk(n.ID))
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

// answer is what no rule is for.
func (n *FakeNode) answer(link *fakeLink, slot *fakeSlot, command *Command) {
	isAsking := link.isAsking
	link.isAsking = command.Kind == "ASKING"
	reply := n.own(command)
	if key := keyOf(command); reply == "" && key != "" {
		reply = n.refusal(command.Kind, key, isAsking)
	}
	if reply == "" {
		link.pass(slot, command)
	} else {
		link.fill(slot, []byte(reply), false)
	}
}

// own is what a node says of the cluster.
func (n *FakeNode) own(command *Command) string {
	switch command.Kind {
	case "ASKING":
		return "+OK\r\n"
	case "CLUSTER SLOTS":
		return n.cluster.Map()
	case "CLUSTER MYID":
		return bulk(n.ID)
	case "CLUSTER KEYSLOT":
		return fmt.Sprintf(":%d\r\n", SlotOf(command.Args[2]))
	case "CLUSTER INFO":
		n.cluster.mutex.Lock()
		defer n.cluster.mutex.Unlock()
		return bulk(fmt.Sprintf("cluster_state:ok\r\ncluster_current_epoch:%d\r\n", n.cluster.epoch))
	}
	return ""
}

// refusal is why the node does not serve a command for a slot; "": it does, which is counted.
func (n *FakeNode) refusal(kind, key string, isAsking bool) string {
	c, slot := n.cluster, SlotOf(key)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	owner, target := c.owners[slot], c.asks[slot]
	isAsked := isAsking && target == n
	switch {
	case c.refuses[slot] != "":
		return c.refuses[slot]
	case owner == nil:
		return "-CLUSTERDOWN Hash slot not served\r\n"
	case owner != n && !isAsked:
		return fmt.Sprintf("-MOVED %d %s\r\n", slot, owner.Address)
	case owner == n && target != nil:
		return fmt.Sprintf("-ASK %d %s\r\n", slot, target.Address)
	}
	counted := kind + " " + tagOf(key)
	n.served[counted]++
	if isAsked {
		n.asked[counted]++
	}
	return ""
}

// withoutKey are commands of ours that any node serves.
var withoutKey = map[string]bool{"AUTH": true, "SELECT": true, "CLIENT": true, "SCRIPT": true, "INFO": true, "PING": true, "ROLE": true,
	"SUBSCRIBE": true, "PUBLISH": true, "PUBSUB": true, "CLUSTER": true, "ASKING": true, "TIME": true, "DBSIZE": true, "CONFIG": true,
	"ACL": true, "SCAN": true, "WAIT": true}

// keyOf is a command's first key; "": it has none.
func keyOf(command *Command) string {
	args := command.Args
	switch name := strings.ToUpper(args[0]); {
	case withoutKey[name] || len(args) < 2:
		return ""
	case name != "EVALSHA" && name != "EVAL":
		return args[1]
	}
	if keys, _ := strconv.Atoi(args[2]); keys == 0 || len(args) < 4 {
		return ""
	}
	return args[3]
}

// tagOf is the part of a key that counts for its slot.
func tagOf(key string) string {
	if _, rest, found := strings.Cut(key, "{"); found {
		if tag, _, ends := strings.Cut(rest, "}"); ends && tag != "" {
			return tag
		}
	}
	return key
}

// SlotOf is the slot of a key: CRC-16/XMODEM of its tag.
func SlotOf(key string) int {
	key = tagOf(key)
	crc := uint16(0)
	for _, letter := range []byte(key) {
		crc ^= uint16(letter) << 8
		for range 8 {
			carry := crc & 0x8000
			crc <<= 1
			if carry != 0 {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % clusterSlots
}
