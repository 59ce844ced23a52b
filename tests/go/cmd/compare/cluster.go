package main

import (
	"fmt"
	"strings"

	"github.com/hibiken/asynq/libasynq-tests/measured"
)

// What a Redis Cluster of one, two and three nodes costs, with the load of all queues spread evenly. "c" has three.
var nodesOf = map[string]int{"node": 1, "nodes2": 2, "c": 3}

const clusterQueues = 12

// evenQueues are named so that each twelfth of the slots has one of them: one, two and three nodes have equal shares.
func evenQueues(c *measured.Cluster) string {
	names := make([]string, clusterQueues)
	for found, i := 0, 0; found < clusterQueues; i++ {
		name := fmt.Sprint("q", i)
		if share := c.Slot("{"+name+"}") * clusterQueues / 16384; names[share] == "" {
			names[share] = name + ":1"
			found++
		}
	}
	return strings.Join(names, ",")
}

// onCluster measures something on a cluster of its own.
func onCluster(b *bench, side string, run func(b *bench, queues string) metrics) metrics {
	c := measured.StartCluster(endsWithUs, nodesOf[side])
	defer c.Stop()
	queues := evenQueues(c)
	own := &bench{redis: &server{c.Nodes[0], c.Nodes[1:]}, uri: c.URI(), idleTime: b.idleTime}
	return run(own, queues)
}

func clusterEnqueue(b *bench, side string) metrics {
	return onCluster(b, side, func(own *bench, queues string) metrics {
		count := b.count(side, 0, 300000)
		m := own.produce(side, count, settings{"mode": "batch", "queues": queues})
		own.mustWait(side, queues, count)
		return m
	})
}

// clusterWork has a concurrency for each side.
func clusterWork(concurrency func(nodes int) int) func(*bench, string) metrics {
	return func(b *bench, side string) metrics {
		return onCluster(b, side, func(own *bench, queues string) metrics {
			return own.work(side, load{worker: settings{"concurrency": concurrency(nodesOf[side]), "queues": queues}, c: 200000})
		})
	}
}

var clusterSides = []string{"node", "nodes2", "c"}

var clusterCases = []benchCase{
	{"cluster_enqueue", "enqueue batched into 12 queues of a cluster of one, two and three (c) nodes", false, false, clusterSides,
		clusterEnqueue, []ratio{{"cluster_enqueue", "rate", false}, {"cluster_enqueue_redis_cpu", "redis_us", true},
			{"cluster_enqueue_client_cpu", "client_us", true}}},
	{"cluster_work", "work, 12 queues of a cluster of one, two and three (c) nodes, concurrency 100 for each node", false, false, clusterSides,
		clusterWork(func(nodes int) int { return 100 * nodes }), []ratio{{"cluster_work", "rate", false},
			{"cluster_work_redis_cpu", "redis_us", true}, {"cluster_work_worker_cpu", "worker_us", true}}},
	{"cluster_work_c100", "work, 12 queues of such a cluster, concurrency 100 for all nodes together", false, false, clusterSides,
		clusterWork(func(int) int { return 100 }), []ratio{{"cluster_work_c100", "rate", false},
			{"cluster_work_c100_redis_cpu", "redis_us", true}, {"cluster_work_c100_worker_cpu", "worker_us", true}}},
}
