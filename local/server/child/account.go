package child

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Account is an account of this machine.
type Account struct {
	Name     string
	uid, gid uint32
}

// Unprivileged is the account for programs that refuse to run as root: the first of these names that exists. It is nil when
// we are not root.
func Unprivileged(names ...string) (*Account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", name, err)
		}
		return &Account{Name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("none of the accounts %q exists", names)
}

func (a *Account) credential() *syscall.Credential {
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// Own gives the account a folder and all in it. A nil account needs nothing.
func (a *Account) Own(dir string) error {
	if a == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.uid), int(a.gid))
	})
}

// Reach lets the account pass through the temporary folders above dir, which are made for their owner alone. Folders outside
// the system's temporary one are left as they are.
func (a *Account) Reach(dir string) error {
	if a == nil {
		return nil
	}
	root := filepath.Clean(os.TempDir())
	for at := filepath.Dir(filepath.Clean(dir)); strings.HasPrefix(at, root+string(filepath.Separator)); at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if err := os.Chmod(at, info.Mode().Perm()|0o011); err != nil {
			return err
		}
	}
	return nil
}
