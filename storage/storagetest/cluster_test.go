package storagetest_test

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"reeve/storage/storagetest"
)

func ask(t *testing.T, url, question string) (answer string) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(question).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestPostgresGivesEachTestItsOwnDatabase(t *testing.T) {
	one, two := storagetest.Postgres(t), storagetest.Postgres(t)
	ask(t, one, `CREATE TABLE a (); SELECT 'made'`)
	if n := ask(t, two, `SELECT count(*) FROM pg_tables WHERE tablename = 'a'`); n != "0" {
		t.Error("two databases share a table")
	}
	if got := ask(t, one, `SELECT 'a' < 'B' AND NOT 'a' < 'B' COLLATE "C"`); got != "true" {
		t.Error("text collates by bytes, so a missing COLLATE does not show")
	}
}

func TestClusterComesBackWithWhatWasCommitted(t *testing.T) {
	cluster := storagetest.Own(t)
	url := cluster.URL("postgres")
	ask(t, url, `CREATE TABLE a (n int); SELECT 'made'`)
	for _, how := range []storagetest.Shutdown{storagetest.Immediate, storagetest.Fast} {
		ask(t, url, `INSERT INTO a VALUES (1) RETURNING 'written'`)
		if err := cluster.Restart(how); err != nil {
			t.Fatal(err)
		}
	}
	if n := ask(t, url, `SELECT count(*) FROM a`); n != "2" {
		t.Errorf("%s of 2 rows are there", n)
	}
}

// A process that is killed leaves neither a server nor a folder behind.
func TestKilledProcessLeavesNothing(t *testing.T) {
	if os.Getenv("STORAGETEST_KILLED") != "" {
		storagetest.Postgres(t)
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "killed-") // t.TempDir could not be entered by the server's user
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestKilledProcessLeavesNothing$")
	child.Env = append(os.Environ(), "STORAGETEST_KILLED=yes", "TMPDIR="+dir)
	if err := child.Run(); err == nil {
		t.Fatal("the child was not killed")
	}
	// The janitor is no child of this process, so it is not waited for but looked at.
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v is left", left)
		}
	}
}
