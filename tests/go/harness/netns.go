package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Addresses on a Road. Each road has network namespaces of its own, so all can have the same.
const (
	RoadPeer  = "192.0.2.1"
	RoadRedis = "192.0.2.6"
)

// Road is three network namespaces in a row: one for peers, a router, and one for Redis. Needs root and "ip".
type Road struct {
	t                   testing.TB
	peer, router, redis string
}

var roads atomic.Int32

// NewRoad makes a road that ends with the test.
func NewRoad(t testing.TB) *Road {
	t.Helper()
	name := fmt.Sprintf("asynq-%d-%d-", os.Getpid(), roads.Add(1))
	r := &Road{t, name + "peer", name + "router", name + "redis"}
	for _, space := range []string{r.peer, r.router, r.redis} {
		r.ip("netns", "add", space)
		t.Cleanup(func() { r.ip("netns", "del", space) })
		r.ip("-n", space, "link", "set", "lo", "up")
	}
	r.join(r.peer, RoadPeer, "to-peer", "192.0.2.2")
	r.join(r.redis, RoadRedis, "to-redis", "192.0.2.5")
	if out, err := exec.Command("ip", "netns", "exec", r.router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward").CombinedOutput(); err != nil {
		t.Fatalf("ip_forward: %v %s", err, out)
	}
	return r
}

// join lays a cable between a namespace and the router.
func (r *Road) join(space, address, link, gateway string) {
	r.t.Helper()
	r.ip("link", "add", "name", "road", "netns", space, "type", "veth", "peer", "name", link, "netns", r.router)
	r.ip("-n", space, "address", "add", address+"/30", "dev", "road")
	r.ip("-n", r.router, "address", "add", gateway+"/30", "dev", link)
	r.ip("-n", r.router, "link", "set", link, "up")
	r.ip("-n", space, "link", "set", "road", "up")
	r.ip("-n", space, "route", "add", "default", "via", gateway)
}

func (r *Road) ip(words ...string) {
	r.t.Helper()
	if out, err := exec.Command("ip", words...).CombinedOutput(); err != nil {
		r.t.Fatalf("ip %s: %v: %s (network namespaces need root, and the package iproute2)", strings.Join(words, " "), err, out)
	}
}

// AtPeer are the words that start a command at the peers' end.
func (r *Road) AtPeer() []string { return []string{"ip", "netns", "exec", r.peer} }

// AtRedis are the words that start a command at Redis's end.
func (r *Road) AtRedis() []string { return []string{"ip", "netns", "exec", r.redis} }

// Outage is a way in which a road can be closed.
type Outage int

const (
	// NoRequests lets nothing through to Redis; NoReplies nothing back; Nothing neither. Nobody is told.
	NoRequests Outage = iota
	NoReplies
	Nothing
	// CableOut is a network that is known to be away: connections to it are refused by the router.
	CableOut
	// Outages is their number.
	Outages
)

func (o Outage) String() string {
	return [...]string{"requests are lost", "replies are lost", "all is lost", "the cable is out"}[o]
}

// Close closes the road; Open opens it as it was closed.
func (r *Road) Close(how Outage) {
	r.t.Helper()
	r.set(how, "add", "down")
}

// Open opens the road, so that what was sent meanwhile and is not given up may still arrive.
func (r *Road) Open(how Outage) {
	r.t.Helper()
	r.set(how, "del", "up")
}

func (r *Road) set(how Outage, route, link string) {
	r.t.Helper()
	if how == NoRequests || how == Nothing {
		r.ip("-n", r.router, "route", route, "blackhole", RoadRedis+"/32")
	}
	if how == NoReplies || how == Nothing {
		r.ip("-n", r.router, "route", route, "blackhole", RoadPeer+"/32")
	}
	if how == CableOut {
		r.ip("-n", r.router, "link", "set", "to-redis", link)
	}
}

// Addresses on a Host, and the name of its Redis.
const (
	RoadHost    = "127.0.0.1"
	RoadNowhere = "198.51.100.1" // what is sent there vanishes
	RoadName    = "redis.test"
)

// Host is a network namespace with nothing but itself, files of its own that name hosts, and a network in which nobody
// answers.
type Host struct {
	t     testing.TB
	space string
}

// NewHost makes a host that ends with the test.
func NewHost(t testing.TB) *Host {
	t.Helper()
	h := &Host{t, fmt.Sprintf("asynq-%d-%d-host", os.Getpid(), roads.Add(1))}
	r := &Road{t: t}
	r.ip("netns", "add", h.space)
	t.Cleanup(func() { r.ip("netns", "del", h.space) })
	r.ip("-n", h.space, "link", "set", "lo", "up")
	// A cable whose other end takes nothing that is for somebody else.
	r.ip("link", "add", "name", "void", "netns", h.space, "type", "veth", "peer", "name", "void-end", "netns", h.space)
	r.ip("-n", h.space, "address", "add", "198.51.100.254/24", "dev", "void")
	r.ip("-n", h.space, "link", "set", "void", "up")
	r.ip("-n", h.space, "link", "set", "void-end", "up")
	for last := 1; last < 4; last++ {
		r.ip("-n", h.space, "neighbour", "add", fmt.Sprint("198.51.100.", last), "lladdr", "02:00:00:00:00:01", "dev", "void")
	}
	t.Cleanup(func() { os.RemoveAll(h.files()) })
	if err := os.MkdirAll(h.files(), 0o755); err != nil {
		t.Fatal(err)
	}
	h.write("hosts", "")
	h.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
	return h
}

func (h *Host) files() string { return filepath.Join("/etc/netns", h.space) }

// write changes a file in place: commands that run see it as well.
func (h *Host) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.files(), name), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// Under are the words that start a command there.
func (h *Host) Under() []string { return []string{"ip", "netns", "exec", h.space} }

// Hosts gives RoadName these addresses, in this order, in /etc/hosts.
func (h *Host) Hosts(addresses ...string) {
	h.t.Helper()
	text := ""
	for _, address := range addresses {
		text += address + " " + RoadName + "\n"
	}
	h.write("hosts", text)
}
