package storagetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Cluster is a PostgreSQL server of the test's own. Its data lie in a temporary folder; it listens on a socket
// there, and on no port. Nothing is left of it when the process ends, even when the process is killed.
//
// Text collates as people sort it, as in most real clusters, so that a missing COLLATE "C" shows.
type Cluster struct {
	dir       string // data, socket and log
	bin       string // initdb, postgres, createdb, dropdb
	settings  []string
	owner     *syscall.Credential // nil for the user of the process
	kept      bool                // the folder stays
	server    *exec.Cmd           // nil while stopped
	exited    chan error          // what became of server, once
	lifeline  io.Closer           // while it is open, the janitor waits
	janitor   *exec.Cmd
	databases atomic.Int64
}

// Shutdown is how a server is stopped (PostgreSQL documentation, 19.5).
type Shutdown syscall.Signal

// The ways to stop a server.
const (
	// Fast rolls back what runs, disconnects the clients, and writes a checkpoint.
	Fast = Shutdown(syscall.SIGINT)
	// Immediate ends all at once, as a crash does: the next start recovers from the log.
	Immediate = Shutdown(syscall.SIGQUIT)
)

// startTimeout bounds a start, recovery included.
const startTimeout = 30 * time.Second

// NewCluster makes a cluster and starts it. Settings are those of postgresql.conf, as "max_connections=20"; fsync
// is off unless they set it, which risks data only if the machine itself goes down.
func NewCluster(settings ...string) (*Cluster, error) {
	c := &Cluster{settings: append([]string{"fsync=off", "shared_buffers=32MB"}, settings...)}
	var err error
	if c.bin, err = findPostgres(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp(scratch(), "reeve-postgres-"); err != nil {
		return nil, err
	}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	if err := c.Start(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// scratch is where temporary clusters lie: in memory if there is room, since a database is some hundred files, else, or if
// TMPDIR is set, where other temporary files are.
func scratch() string {
	const memory, room = "/dev/shm", 8 << 30
	var space syscall.Statfs_t
	if err := syscall.Statfs(memory, &space); os.Getenv("TMPDIR") != "" || err != nil || space.Bavail*uint64(space.Bsize) < room {
		return os.TempDir()
	}
	return memory
}

// KeepCluster is [NewCluster] in a folder that stays: it is made if it is not there, and used again if it is.
func KeepCluster(dir string, settings ...string) (*Cluster, error) {
	c := &Cluster{dir: dir, kept: true, settings: settings}
	var err error
	if c.bin, err = findPostgres(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// prepare makes the data folder, if there is none, and starts the janitor.
func (c *Cluster) prepare() error {
	if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
		var err error
		if c.owner, err = credential("postgres", "nobody"); err != nil {
			return err
		}
		if err := os.Chown(c.dir, int(c.owner.Uid), int(c.owner.Gid)); err != nil {
			return err
		}
	}
	if _, err := os.Stat(c.data()); err == nil {
		return c.employJanitor()
	}
	if err := c.run("initdb", "--pgdata", c.data(), "--username", "postgres", "--auth", "trust", "--encoding", "UTF8",
		"--locale", "C", "--locale-provider", "icu", "--icu-locale", "en", "--no-sync", "--no-instructions"); err != nil {
		return err
	}
	return c.employJanitor()
}

// janitor waits until nobody holds the other end of its input, ends the server, and removes the folder unless that
// is kept.
const janitor = `read -r _
pidfile=$1/data/postmaster.pid
if [ -e "$pidfile" ] && kill -QUIT "$(head -n 1 "$pidfile")"; then
	i=0
	while [ -e "$pidfile" ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done
fi
[ "$2" = true ] || rm -rf "$1"`

// employJanitor starts the janitor in a session of its own, so that no signal of a terminal reaches it.
func (c *Cluster) employJanitor() error {
	c.janitor = c.command("sh", "-c", janitor, "janitor", c.dir, strconv.FormatBool(c.kept))
	var err error
	if c.lifeline, err = c.janitor.StdinPipe(); err != nil {
		return err
	}
	return c.janitor.Start()
}

// Start starts the server, and waits until it takes connections. It does nothing if the server runs.
func (c *Cluster) Start() error {
	if c.server != nil {
		return nil
	}
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", c.data(), "-c", "listen_addresses=", "-c", "unix_socket_directories=" + c.dir}
	for _, setting := range c.settings {
		args = append(args, "-c", setting)
	}
	server := c.command(filepath.Join(c.bin, "postgres"), args...)
	server.Stderr = log
	if err := server.Start(); err != nil {
		return err
	}
	c.server, c.exited = server, make(chan error, 1)
	go func() { c.exited <- server.Wait() }()
	return c.await()
}

// await waits until the server says in its pid file that it is ready.
func (c *Cluster) await() error {
	pid := strconv.Itoa(c.server.Process.Pid)
	late := time.After(startTimeout)
	for {
		select {
		case err := <-c.exited:
			c.server = nil
			said, _ := os.ReadFile(c.log()) // if it cannot be read, err alone is told
			return fmt.Errorf("storagetest: postgres did not start: %w\n%s", err, said)
		case <-late:
			return fmt.Errorf("storagetest: postgres was not ready within %s", startTimeout)
		case <-time.After(5 * time.Millisecond):
		}
		// Line 1 is the process, line 8 its state (src/include/utils/pidfile.h).
		text, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
		if err != nil {
			continue // it is not written yet
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) >= 8 && lines[0] == pid && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
	}
}

// Stop stops the server and waits for its end. It does nothing if the server does not run.
func (c *Cluster) Stop(how Shutdown) error {
	if c.server == nil {
		return nil
	}
	if err := c.server.Process.Signal(syscall.Signal(how)); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := <-c.exited
	c.server = nil
	return err
}

// Restart stops the server and starts it again. Databases and URLs stay.
func (c *Cluster) Restart(how Shutdown) error {
	if err := c.Stop(how); err != nil {
		return err
	}
	return c.Start()
}

// Close stops the server for good, and removes its folder unless that is kept.
func (c *Cluster) Close() error {
	if c.kept {
		return errors.Join(c.Stop(Fast), c.lifeline.Close(), c.janitor.Wait())
	}
	return errors.Join(c.Stop(Immediate), c.lifeline.Close(), c.janitor.Wait())
}

// Database makes an empty database, to be dropped when the test ends, and returns its URL.
func (c *Cluster) Database(tb testing.TB) string {
	tb.Helper()
	return c.copy(tb, "template0")
}

// copy makes a database as another is, which nobody is connected to. It is dropped when the test ends.
func (c *Cluster) copy(tb testing.TB, template string) string {
	tb.Helper()
	name := fmt.Sprintf("test%d", c.databases.Add(1))
	if err := c.run("createdb", "--host", c.dir, "--username", "postgres", "--template", template, name); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.run("dropdb", "--host", c.dir, "--username", "postgres", "--force", name); err != nil {
			tb.Error(err)
		}
	})
	return c.URL(name)
}

// URL is the URL of a database of the cluster.
func (c *Cluster) URL(database string) string {
	query := url.Values{"host": {c.dir}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: query.Encode()}).String()
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }
func (c *Cluster) log() string  { return filepath.Join(c.dir, "log") }

// command is a command as the owner of the cluster, away from the terminal and from the test's folder, which
// the owner may not be allowed to enter.
func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner, Setsid: true}
	return cmd
}

// run runs one of PostgreSQL's programs to its end. Its error says what the program said.
func (c *Cluster) run(program string, args ...string) error {
	cmd := c.command(filepath.Join(c.bin, program), args...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("storagetest: %s: %w\n%s", program, err, bytes.TrimSpace(said))
	}
	return nil
}

// findPostgres is the folder of PostgreSQL's programs: the newest that Debian's packages have installed, or the
// one in PATH.
func findPostgres() (string, error) {
	installed, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(installed) > 0 {
		newest := slices.MaxFunc(installed, func(a, b string) int {
			return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) // 9 is older than 15
		})
		return filepath.Dir(newest), nil
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("storagetest: these tests run on a real PostgreSQL, and no server is installed: " +
			"apt-get install postgresql, or have initdb and postgres in PATH")
	}
	if initdb, err = filepath.EvalSymlinks(initdb); err != nil {
		return "", err
	}
	return filepath.Dir(initdb), nil
}

// credential is the first of the named users that exists.
func credential(names ...string) (*syscall.Credential, error) {
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue // the next may exist
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("storagetest: PostgreSQL does not run as root, and there is none of the users %v", names)
}
