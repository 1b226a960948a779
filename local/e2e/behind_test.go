package e2e_test

import (
	"errors"
	"net/url"
	"os"
	"syscall"
	"testing"

	"freshet/local/nettest"
)

// However Postgres is reached, a poller that was away catches up in a moment: over TLS a read brings one record, over a Unix socket little waits.
func TestCatchingUpHoweverPostgresIsReached(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a server of its own")
	}
	t.Parallel()
	r := newRig(t, "versions", "SELECT 1")
	p := r.ownPostgres()
	sockets := p.Dir
	certFile, keyFile := nettest.SelfSigned(t, p.Dir)
	giveTo(t, p.Dir, certFile, keyFile)
	for _, sql := range []string{
		"CREATE TABLE versions (id int PRIMARY KEY, v bigint NOT NULL)", "INSERT INTO versions SELECT n, 0 FROM generate_series(1, 500) n",
		"ALTER SYSTEM SET ssl_cert_file = '" + certFile + "'", "ALTER SYSTEM SET ssl_key_file = '" + keyFile + "'", "ALTER SYSTEM SET ssl = on",
		"ALTER SYSTEM SET unix_socket_directories = '" + sockets + "'",
	} {
		p.exec(sql)
	}
	if err := errors.Join(p.Stop("fast"), p.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(u *url.URL){
		"TLS":    func(u *url.URL) { u.RawQuery = "sslmode=require" },
		"socket": func(u *url.URL) { u.RawQuery = url.Values{"host": {sockets}, "sslmode": {"disable"}}.Encode() },
	} {
		u, err := url.Parse(withSecret(t, p.DSN, ""))
		if err != nil {
			t.Fatal(err)
		}
		edit(u)
		r.pollExtra["DATABASE_URL"] = u.String()
		r.start()
		p.wantEqual("versions")
		r.stop(r.poller)
		p.exec("DO $$ BEGIN FOR n IN 1..20000 LOOP UPDATE versions SET v = v + 1 WHERE id = n % 500 + 1; COMMIT; END LOOP; END $$")
		r.launchPoller()
		t.Run(name, func(t *testing.T) { p.wantEqual("versions") })
		r.stop(r.poller)
		r.stop(r.fn)
	}
}

// giveTo has the owner of dir own the files too.
func giveTo(t *testing.T, dir string, files ...string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	for _, file := range files {
		if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}
