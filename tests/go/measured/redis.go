package measured

import (
	"context"
	"log"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is a private redis-server on a port of the loopback interface.
type Redis struct {
	Address string
	Client  *redis.Client
	cmd     *exec.Cmd
}

// freePort is one of the loopback interface that nobody had a moment ago.
func freePort() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

// StartRedis starts it with these attributes and options, and waits until it answers.
func StartRedis(attributes *syscall.SysProcAttr, options ...string) *Redis {
	port := freePort()
	address := net.JoinHostPort("127.0.0.1", port)
	r := &Redis{Address: address, Client: redis.NewClient(&redis.Options{Addr: address})}
	r.cmd = exec.Command("redis-server", append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--loglevel", "warning"},
		options...)...)
	r.cmd.SysProcAttr = attributes
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		log.Fatal(err)
	}
	for range 500 {
		if r.Client.Ping(context.Background()).Err() == nil {
			return r
		}
		time.Sleep(10 * time.Millisecond)
	}
	log.Fatal("redis-server does not answer")
	return nil
}

// CPUUs is the CPU time that it has used so far.
func (r *Redis) CPUUs() (sum float64) {
	text, err := r.Client.Info(context.Background(), "cpu").Result()
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range strings.Fields(text) {
		name, value, _ := strings.Cut(line, ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			seconds, _ := strconv.ParseFloat(value, 64)
			sum += seconds * 1e6
		}
	}
	return sum
}

// Pid is its process.
func (r *Redis) Pid() int { return r.cmd.Process.Pid }

// URI is where it is.
func (r *Redis) URI() string { return "redis://" + r.Address + "/0" }

// Stop ends it at once.
func (r *Redis) Stop() {
	r.Client.Close()
	r.cmd.Process.Kill()
	r.cmd.Wait()
}
