package harness

import (
	"fmt"
	"os"
	"os/exec"
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
