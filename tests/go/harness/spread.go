package harness

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// IsSpread tells whether the tests' Redis is a cluster of three nodes.
func IsSpread() bool { return os.Getenv("ASYNQ_TEST_NODES") != "" }

// NeedsOneServer skips a test that is about what only a single server has.
func NeedsOneServer(t testing.TB, why string) {
	t.Helper()
	if IsSpread() {
		t.Skip("not on a cluster: " + why)
	}
}

// StartSpread starts a cluster of three nodes that is used like one server: Do() goes to the node that has the key.
func StartSpread(t testing.TB, args ...string) *Redis {
	t.Helper()
	c := StartNodes(t, 3, 0, append([]string{"--cluster-node-timeout", "15000"}, args...)...)
	return &Redis{t: t, Dir: c.Masters[0].Dir, Client: c.Client, nodes: c}
}

func (r *Redis) servers() []*Redis {
	if r.nodes == nil {
		return []*Redis{r}
	}
	return r.nodes.Masters
}

// isForAll tells whether a command is for every node, as it has no key and its effect or its answer is a node's own.
func isForAll(command any) bool {
	name := strings.ToUpper(fmt.Sprint(command))
	return slices.Contains([]string{"KEYS", "FLUSHALL", "CONFIG", "ACL", "PUBLISH", "SCRIPT"}, name)
}

// doOnAll adds the answers up: lists to one list, numbers to a sum; of other answers it returns the first.
func (r *Redis) doOnAll(args ...any) (all any) {
	r.t.Helper()
	for _, node := range r.nodes.Masters {
		switch answer := node.Do(args...).(type) {
		case []any:
			before, _ := all.([]any)
			all = append(before, answer...)
		case int64:
			before, _ := all.(int64)
			all = before + answer
		default:
			if all == nil {
				all = answer
			}
		}
	}
	return all
}

// rightsInClusters are those that docs/access.md gives a role besides where Redis is a cluster.
func rightsInClusters(t testing.TB, r *Redis, role string) (rights []string) {
	t.Helper()
	text := documentOfRights(t)
	for _, who := range []string{"Each of them needs `", "a worker also `"} {
		_, rest, found := strings.Cut(text, who)
		if !found {
			t.Fatalf("docs/access.md does not tell what %s...", who)
		}
		if words, _, _ := strings.Cut(rest, "`"); strings.HasPrefix(who, "Each") || role == "worker" {
			rights = append(rights, strings.Fields(words)...)
		}
	}
	if known, _ := r.Client.Do(Ctx, "COMMAND", "INFO", "ssubscribe").Slice(); len(known) == 0 || known[0] == nil {
		rights = slices.DeleteFunc(rights, func(right string) bool { return right == "+ssubscribe" })
	}
	return rights
}

// SetUser gives each node a user with the rights that docs/access.md gives to roles.
func (c *Cluster) SetUser(name, password string, roles ...string) {
	c.t.Helper()
	rule := []any{"ACL", "SETUSER", name, "reset", "on", ">" + password}
	for _, role := range roles {
		for _, right := range append(documentedRights(c.t, role), rightsInClusters(c.t, c.Masters[0], role)...) {
			rule = append(rule, right)
		}
	}
	for _, node := range c.nodes() {
		node.Do(rule...)
	}
}
