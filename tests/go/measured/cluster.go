package measured

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const slots = 16384

// Cluster is a Redis Cluster of masters without replicas.
type Cluster struct {
	Nodes []*Redis
	dir   string
}

// StartCluster starts so many nodes, each with an equal share of the slots, and waits until they know each other.
func StartCluster(attributes *syscall.SysProcAttr, count int) *Cluster {
	dir, err := os.MkdirTemp("", "asynq-cluster-")
	if err != nil {
		log.Fatal(err)
	}
	c := &Cluster{dir: dir}
	buses := []string{}
	for i := range count {
		buses = append(buses, freePort())
		c.Nodes = append(c.Nodes, StartRedis(attributes, "--cluster-enabled", "yes", "--cluster-port", buses[i],
			"--cluster-config-file", filepath.Join(dir, fmt.Sprint(i, ".conf"))))
		c.do(i, "CLUSTER", "ADDSLOTSRANGE", i*slots/count, (i+1)*slots/count-1)
		c.do(i, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		host, port, _ := net.SplitHostPort(c.Nodes[i].Address)
		if i > 0 {
			c.do(0, "CLUSTER", "MEET", host, port, buses[i])
		}
	}
	for i := range count {
		c.awaitNode(i)
	}
	return c
}

func (c *Cluster) do(node int, args ...any) any {
	value, err := c.Nodes[node].Client.Do(context.Background(), args...).Result()
	if err != nil {
		log.Fatalf("%v: %v", args, err)
	}
	return value
}

// awaitNode waits until a node knows who has which slot.
func (c *Cluster) awaitNode(node int) {
	for range 3000 {
		state, _ := c.do(node, "CLUSTER", "INFO").(string)
		if strings.Contains(state, "cluster_state:ok") && strings.Contains(state, "cluster_slots_assigned:16384") &&
			strings.Contains(state, fmt.Sprintf("cluster_known_nodes:%d", len(c.Nodes))) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	log.Fatal("the nodes of the cluster do not find each other")
}

// URI is where it is.
func (c *Cluster) URI() string { return "redis-cluster://" + c.Nodes[0].Address }

// Slot is that of a key.
func (c *Cluster) Slot(key string) int {
	slot, _ := c.do(0, "CLUSTER", "KEYSLOT", key).(int64)
	return int(slot)
}

// Stop ends it at once.
func (c *Cluster) Stop() {
	for _, node := range c.Nodes {
		node.Stop()
	}
	os.RemoveAll(c.dir)
}
