package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// defaultPath is searched when the environment of a program has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func refuse(reason process.StartReason, format string, args ...any) *process.StartError {
	return &process.StartError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// checkSpec refuses what cannot be meant.
func checkSpec(s *process.Spec) *process.StartError {
	switch {
	case s.ID == "":
		return refuse(process.ReasonBadSpec, "the run has no id")
	case len(s.Argv) == 0 || s.Argv[0] == "":
		return refuse(process.ReasonBadSpec, "there is no program to start: the command is empty")
	case s.Logs.Dir == "" || !filepath.IsAbs(s.Logs.Dir):
		return refuse(process.ReasonBadLog, "the log folder %q must be an absolute path", s.Logs.Dir)
	case s.Dir != "" && !filepath.IsAbs(s.Dir):
		return refuse(process.ReasonBadFolder, "the working directory %q must be an absolute path", s.Dir)
	case s.Umask != nil && (*s.Umask < 0 || *s.Umask > 0o777):
		return refuse(process.ReasonBadSpec, "the umask %#o must be between 0 and 0777", *s.Umask)
	}
	for _, v := range append(append([]string{s.Dir}, s.Argv...), s.Env...) {
		if strings.IndexByte(v, 0) >= 0 {
			return refuse(process.ReasonBadSpec, "command, folder and environment must not contain a NUL byte: %q", v)
		}
	}
	return nil
}

// prepare turns a Spec into a program: user, program file, environment.
func (k *Keeper) prepare(s *process.Spec) (*program, *process.StartError) {
	p := &program{argv: s.Argv, dir: s.Dir, umask: s.Umask, limits: s.Limits}
	if p.dir == "" {
		p.dir = "/"
	}
	p.env = make([]string, 0, len(s.Env)+2)
	for _, v := range s.Env {
		if !strings.HasPrefix(v, runIDVariable+"=") && !strings.HasPrefix(v, keeperVariable+"=") {
			p.env = append(p.env, v)
		}
	}
	p.env = append(p.env, keeperVariable+"="+k.dir, runIDVariable+"="+string(s.ID))
	var refused *process.StartError
	if p.who, refused = credential(s.User, s.Group); refused != nil {
		return nil, refused
	}
	p.path, refused = findProgram(s.Argv[0], p.dir, s.Env)
	if refused != nil {
		// The folder may be the reason.
		if bad := checkFolder(p.dir); bad != nil {
			return nil, bad
		}
		return nil, refused
	}
	return p, nil
}

// findProgram finds what argv[0] names: a path (from the working directory), or a name in the PATH of the environment.
func findProgram(name, dir string, env []string) (string, *process.StartError) {
	if strings.ContainsRune(name, '/') {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, nil // the exec tells what is wrong with it
	}
	path := defaultPath
	for _, v := range env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p
		}
	}
	found := ""
	for folder := range strings.SplitSeq(path, ":") {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		file := filepath.Join(folder, name)
		var st unix.Stat_t
		if unix.Stat(file, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if st.Mode&0o111 != 0 {
			return file, nil
		}
		found = file
	}
	if found != "" {
		return "", refuse(process.ReasonNotExecutable, "%s is not executable; chmod +x %s", found, found)
	}
	return "", refuse(process.ReasonNotFound, "no program %q in PATH %s; install it, write its full path, or set PATH in env", name, path)
}

// credential resolves user and group, names or numbers. Nil means: as we are.
func credential(userName, groupName string) (*syscall.Credential, *process.StartError) {
	if userName == "" && groupName == "" {
		return nil, nil
	}
	c := &syscall.Credential{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}
	if userName != "" {
		if refused := userCredential(c, userName); refused != nil {
			return nil, refused
		}
	} else {
		groups, err := os.Getgroups()
		if err != nil {
			return nil, refuse(process.ReasonBadUser, "our own groups are not known: %v", err)
		}
		for _, g := range groups {
			c.Groups = append(c.Groups, uint32(g))
		}
	}
	if groupName != "" {
		gid, ok := number(groupName)
		if !ok {
			g, err := user.LookupGroup(groupName)
			if err != nil {
				return nil, refuse(process.ReasonBadUser, "there is no group %q on this machine; see `getent group`", groupName)
			}
			gid, _ = number(g.Gid)
		}
		c.Gid = gid
	}
	if os.Geteuid() != 0 {
		if int(c.Uid) == os.Getuid() && int(c.Gid) == os.Getgid() {
			return nil, nil
		}
		return nil, refuse(process.ReasonBadUser, "the keeper runs as user %d and cannot start a program as user %q group %q; run the supervisor as root, or remove the user from the manifest",
			os.Getuid(), userName, groupName)
	}
	return c, nil
}

func userCredential(c *syscall.Credential, name string) *process.StartError {
	u, err := user.Lookup(name)
	if err != nil {
		uid, ok := number(name)
		if !ok {
			return refuse(process.ReasonBadUser, "there is no user %q on this machine; see `getent passwd`, or give a number", name)
		}
		if u, err = user.LookupId(name); err != nil {
			c.Uid, c.Gid = uid, uid // a number needs no name
			return nil              //nolint:nilerr // it is no error
		}
	}
	c.Uid, _ = number(u.Uid)
	c.Gid, _ = number(u.Gid)
	ids, err := u.GroupIds()
	if err != nil {
		return refuse(process.ReasonBadUser, "the groups of user %q are not known: %v", name, err)
	}
	for _, id := range ids {
		if gid, ok := number(id); ok {
			c.Groups = append(c.Groups, gid)
		}
	}
	return nil
}

func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// checkFolder tells which part of a working directory is missing or closed.
func checkFolder(dir string) *process.StartError {
	at := "/"
	for part := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		at = filepath.Join(at, part)
		info, err := os.Stat(at)
		switch {
		case errors.Is(err, os.ErrNotExist) && at == dir:
			return refuse(process.ReasonBadFolder, "the working directory %s does not exist; create it or correct workingDir", dir)
		case errors.Is(err, os.ErrNotExist):
			return refuse(process.ReasonBadFolder, "the working directory %s does not exist: there is no %s; create it or correct workingDir", dir, at)
		case err != nil:
			return refuse(process.ReasonBadFolder, "the working directory %s cannot be entered: %v", dir, err)
		case !info.IsDir():
			return refuse(process.ReasonBadFolder, "the working directory %s cannot be entered: %s is not a folder", dir, at)
		}
	}
	return nil
}

// explain turns a failed fork or exec into words, after the fact: nothing is looked at twice when all goes well.
func explain(p *program, spec *process.Spec, err error) *process.StartError {
	var s *shimError
	if errors.As(err, &s) {
		switch s.Step {
		case "limit":
			return refuse(process.ReasonBadLimit, "the limit %s cannot be set: %v; lower it, or run the supervisor as root", s.What, s.Errno)
		case "user":
			return refuse(process.ReasonBadUser, "cannot %s: %v", s.What, s.Errno)
		}
	}
	if bad := checkFolder(p.dir); bad != nil {
		return bad
	}
	as := ""
	if p.who != nil {
		as = fmt.Sprintf(" as user %s", spec.User)
		if !may(p.who, p.dir, 1) {
			return refuse(process.ReasonBadFolder, "user %s may not enter the working directory %s; give it the right (chmod, chown) or choose another", spec.User, p.dir)
		}
	}
	info, statErr := os.Stat(p.path)
	switch {
	case errors.Is(statErr, os.ErrNotExist):
		return refuse(process.ReasonNotFound, "there is no program %s; correct the path or install it", p.path)
	case statErr == nil && info.IsDir():
		return refuse(process.ReasonNotExecutable, "%s is a folder, not a program", p.path)
	case errors.Is(err, syscall.ENOENT) && statErr == nil:
		return refuse(process.ReasonNotFound, "%s", missingInterpreter(p.path))
	case errors.Is(err, syscall.ENOEXEC):
		return refuse(process.ReasonNotExecutable, "%s is neither a program for this machine nor a script with a first line such as #!/bin/sh", p.path)
	case errors.Is(err, syscall.EACCES) && statErr == nil && info.Mode()&0o111 == 0:
		return refuse(process.ReasonNotExecutable, "%s is not executable; chmod +x %s", p.path, p.path)
	case errors.Is(err, syscall.EACCES):
		return refuse(process.ReasonNotExecutable, "%s may not be executed%s: permission denied (a folder on its way is closed, the file is for others, its interpreter is not executable, or the file system is mounted noexec)", p.path, as)
	case errors.Is(err, syscall.E2BIG):
		return refuse(process.ReasonBadSpec, "arguments and environment of %s are too long for the kernel", p.path)
	case errors.Is(err, syscall.EPERM) && p.who != nil:
		return refuse(process.ReasonBadUser, "cannot become user %s: %v", spec.User, err)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return refuse(process.ReasonNoResources, "the machine cannot start %s now: %v (memory, processes or open files are used up)", p.path, err)
	default:
		return refuse(process.ReasonNotExecutable, "%s cannot be executed%s: %v", p.path, as, err)
	}
}

// missingInterpreter names what is missing when a file is there and the kernel says that it is not.
func missingInterpreter(path string) string {
	f, err := os.Open(path)
	if err == nil {
		defer func() { _ = f.Close() }()
		var head [256]byte
		n, _ := f.Read(head[:]) // a file that cannot be read has no first line
		if line, ok := bytes.CutPrefix(head[:n], []byte("#!")); ok {
			line, _, _ = bytes.Cut(line, []byte("\n"))
			interpreter, _, _ := strings.Cut(strings.TrimLeft(string(line), " \t"), " ")
			if trimmed := strings.TrimSuffix(interpreter, "\r"); trimmed != interpreter {
				return fmt.Sprintf("%s names the interpreter %q with a carriage return: the file has Windows line ends; convert it (sed -i 's/\\r$//' %s)", path, trimmed, path)
			}
			return fmt.Sprintf("%s wants the interpreter %s, which does not exist; install it or correct the first line", path, interpreter)
		}
	}
	return fmt.Sprintf("%s is there, but the loader or library that it needs is not (a program for another system or libc?)", path)
}

// may tells whether a user has a right (4 read, 2 write, 1 execute) by owner, group and mode.
func may(who *syscall.Credential, path string, right uint32) bool {
	var st unix.Stat_t
	if who.Uid == 0 || unix.Stat(path, &st) != nil {
		return true // not known: let the kernel decide
	}
	switch {
	case st.Uid == who.Uid:
		return st.Mode>>6&right != 0
	case st.Gid == who.Gid:
		return st.Mode>>3&right != 0
	}
	for _, g := range who.Groups {
		if g == st.Gid {
			return st.Mode>>3&right != 0
		}
	}
	return st.Mode&right != 0
}

func trim(raw []byte) string { return string(bytes.TrimSpace(raw)) }
