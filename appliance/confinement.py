"""A process that gives up, for good, what running somebody else's network does not need.

    limits      memory, processor time, file size, open files, processes (setrlimit)
    namespaces  its own user and network namespace: no interface, no route
    landlock    files: reading the software and what it is given, nothing else, no device
    seccomp     no socket, no process, no ioctl (pins), nothing written, emptied or locked; no signal, limit or priority
                of another process

What held is returned. `is_enough` asks for seccomp, which needs libseccomp: every Debian has it. Without it, code of
its own could end or limit any process of the same user, whatever else held.

Covers: a network file that crashes, hangs, allocates without bound, or runs code of its own in this process.
Does not cover: a fault of the kernel; threads that were started before (of those, only seccomp holds). With seccomp
alone, code of its own could read files, and tell nobody but the parent, which takes nothing but bounded answers.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import resource
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

Held = Literal["limits", "namespaces", "landlock", "seccomp"]

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_DUMPABLE: Final = 4
_PR_SET_PDEATHSIG: Final = 1

# Source: linux/landlock.h; the three calls have the same numbers on every architecture.
_LANDLOCK_CREATE: Final = 444
_LANDLOCK_ADD: Final = 445
_LANDLOCK_RESTRICT: Final = 446
_LANDLOCK_VERSION: Final = 1
_LANDLOCK_PATH_BENEATH: Final = 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_EXECUTE: Final = 1 << 0
_RIGHTS_OF_VERSION: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}

# Source: seccomp.h
_ALLOW: Final = 0x7FFF0000
_DENY: Final = 0x00050000 | errno.EPERM
_MISSING: Final = 0x00050000 | errno.ENOSYS
_NOT_EQUAL: Final = 1
_GREATER: Final = 6
_MASKED_EQUAL: Final = 7
_ALL_THREADS: Final = 4

_TO_DENY: Final = """
socket socketpair socketcall connect bind listen accept accept4 sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg fork
vfork execve execveat ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp kill
tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal pidfd_getfd mount umount2 pivot_root chroot
unshare setns open_tree move_mount fsopen fsmount fspick mount_setattr bpf perf_event_open io_uring_setup
io_uring_enter io_uring_register keyctl add_key request_key userfaultfd unlink unlinkat rename renameat
renameat2 link linkat symlink symlinkat mkdir mkdirat rmdir mknod mknodat truncate truncate64 fallocate chmod fchmod
fchmodat fchmodat2 chown fchown lchown chown32 fchown32 lchown32 fchownat setxattr lsetxattr fsetxattr removexattr
lremovexattr fremovexattr utime utimes utimensat utimensat_time64 futimesat creat openat2 open_by_handle_at flock ioctl
memfd_create memfd_secret ipc shmget shmat shmctl msgget msgsnd msgrcv msgctl semget semop semtimedop semctl mq_open
mq_unlink fanotify_init inotify_init inotify_init1 swapon swapoff reboot sethostname setdomainname settimeofday
clock_settime clock_adjtime adjtimex syslog quotactl quotactl_fd iopl ioperm
init_module finit_module delete_module kexec_load kexec_file_load acct setuid setgid setreuid setregid setresuid
setresgid setgroups setuid32 setgid32 setreuid32 setregid32 setresuid32 setresgid32 setgroups32 setpgid capset
personality prctl sched_setaffinity sched_setscheduler sched_setparam sched_setattr setpriority ioprio_set
migrate_pages move_pages setrlimit
"""
_DENIED: Final = tuple(_TO_DENY.split())
"""Calls that fail with EPERM; one that an architecture has not is left out."""

_ABSENT: Final = ("clone", "clone3")
"""Calls that fail as if the kernel had none, so that a library that would like threads does without."""

# Source: linux/fcntl.h. What is left is copying a handle and its own flags (F_DUPFD to F_SETFL, F_DUPFD_CLOEXEC).
_FCNTL_LAST: Final = 1030
_FCNTL_DENIED: Final = (*range(5, 17), *range(36, 42), *range(1024, 1030))
"""Locks, leases and notices, and above all who gets which signal: F_SETOWN, F_SETSIG, F_SETOWN_EX."""

_LOW_WORD: Final = 0xFFFFFFFF
"""The kernel reads no more of a command; a filter that looked at more could be passed with any bit above."""


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine(readable: Iterable[Path], *, address_space_mb: int, cpu_s: int) -> tuple[Held, ...]:
    """Give up what is not needed; nothing of it can be taken back.

    Args:
        readable: folders and files that may still be read; everything else only where Landlock is missing.

    Returns:
        What holds from here on. The process must have one thread.
    """
    # While it can still be found: it may lie where the bundle has nothing to read.
    libseccomp = _libseccomp()
    _limit(address_space_mb, cpu_s)
    held: list[Held] = ["limits"]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        held.append("namespaces")
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # A daemon that is killed leaves nobody behind. After the namespaces: entering them takes this back.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # Nobody attaches to it, and it leaves no core.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if _landlock(libc, readable):
        held.append("landlock")
    if libseccomp is not None and _seccomp(libseccomp):
        held.append("seccomp")
    return tuple(held)


def software() -> list[Path]:
    """Return where the software lies, and what it loads."""
    return [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent, Path("/usr/lib"), Path("/lib")]


def is_enough(held: Sequence[str]) -> bool:
    """Return whether no network can be reached, nothing written, no pin moved and no other process touched."""
    return "seccomp" in held


def _limit(address_space_mb: int, cpu_s: int) -> None:
    limits = {
        resource.RLIMIT_AS: address_space_mb * 2**20,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for which, value in limits.items():
        _, hard = resource.getrlimit(which)
        bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (bounded, bounded))
    # A file that would grow fails with an error instead of a signal.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _landlock(libc: ctypes.CDLL, readable: Iterable[Path]) -> bool:
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return False
    rights = _RIGHTS_OF_VERSION[max(known for known in _RIGHTS_OF_VERSION if known <= version)]
    ruleset = _Ruleset(rights)
    handle = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(ruleset), ctypes.c_size_t(ctypes.sizeof(ruleset)), 0)
    if handle < 0:
        return False
    try:
        for path in readable:
            if not path.exists():
                continue
            granted = _READ_FILE | _EXECUTE | (_READ_DIR if path.is_dir() else 0)
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            beneath = _Beneath(granted, opened)
            added = libc.syscall(_LANDLOCK_ADD, handle, _LANDLOCK_PATH_BENEATH, ctypes.byref(beneath), 0)
            os.close(opened)
            if added != 0:
                return False
        return bool(libc.syscall(_LANDLOCK_RESTRICT, handle, 0) == 0)
    finally:
        os.close(handle)


def _libseccomp() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        return None


def _seccomp(lib: ctypes.CDLL) -> bool:
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = (ctypes.c_uint32,)
    lib.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p,
    )  # fmt: skip
    lib.seccomp_load.argtypes = (ctypes.c_void_p,)
    lib.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    context = lib.seccomp_init(_ALLOW)
    if not context:
        return False

    def deny(name: str, *comparisons: _Comparison, how: int = _DENY) -> bool:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return True  # this architecture has no such call
        array = (_Comparison * len(comparisons))(*comparisons)
        return bool(lib.seccomp_rule_add_array(context, how, number, len(comparisons), array) == 0)

    told = [lib.seccomp_attr_set(context, _ALL_THREADS, 1) == 0]
    told += [deny(name) for name in _DENIED] + [deny(name, how=_MISSING) for name in _ABSENT]
    told.append(deny("tgkill", _Comparison(0, _NOT_EQUAL, os.getpid(), 0)))
    # 0 is the process itself: its own limits it may look at. Root outside a namespace of its own could raise them.
    told += [deny("prlimit64", _Comparison(which, _NOT_EQUAL, 0, 0)) for which in (0, 2)]
    for call in ("fcntl", "fcntl64"):
        told += [deny(call, _Comparison(1, _MASKED_EQUAL, _LOW_WORD, command)) for command in _FCNTL_DENIED]
        told.append(deny(call, _Comparison(1, _GREATER, _FCNTL_LAST, 0)))
    for call, flags in (("open", 1), ("openat", 2)):
        told += [
            deny(call, _Comparison(flags, _MASKED_EQUAL, os.O_ACCMODE, mode))
            for mode in (os.O_WRONLY, os.O_RDWR, os.O_ACCMODE)
        ]
        # Emptying a file takes no right to write into it.
        told += [deny(call, _Comparison(flags, _MASKED_EQUAL, what, what)) for what in (os.O_CREAT, os.O_TRUNC)]
    return all(told) and lib.seccomp_load(context) == 0


if __name__ == "__main__":
    # What would hold here; `appliance doctor` asks.
    sys.stdout.write(" ".join(confine((), address_space_mb=1024, cpu_s=10)))
