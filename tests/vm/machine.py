"""A virtual machine under test: QEMU with a disk of its own over the image, hands on its plug and its clock.

KVM where /dev/kvm may be used, else emulation, about ten times slower. QEMU never outlives the thread that started it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from edge.clock import SECOND
from tests.vm.agent import CLOCK, Agent, AgentError
from tests.vm.image import PROJECT, Image

# A /dev/kvm that is there without the processor's help to it (as in some virtual machines) does not get through a boot.
IS_FAST: Final = os.access("/dev/kvm", os.R_OK | os.W_OK) and bool(
    {"vmx", "svm"} & set(Path("/proc/cpuinfo").read_text("utf-8").split())
)
_DISKS: Final = ("root", "data")  # /dev/vda and /dev/vdb
_DATA_MIB: Final = 1024
PATIENCE_S: Final = 60.0 if IS_FAST else 300.0  # for a boot, and for a command unless said otherwise
_ENVIRONMENT: Final = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "PYTHONDONTWRITEBYTECODE=1",  # /project is read-only
)


# Emulated, guards against speculation cost much and guard nothing; and each line to the serial port costs.
_COMMAND_LINE: Final = "root=/dev/vda rw console=ttyS0 loglevel=4 systemd.show_status=0 mitigations=off tsc=reliable"


class Failed(AssertionError):
    """A command in the guest ended badly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    code: int  # negative: the signal that killed it
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """`clock`: what the battery clock shows at each start, UTC; now, if None. `kernel`: more of a command line.

    `keeps_writes`: all that is ever written to a disk is also kept, in the order of its writing (`Machine.written`).
    `is_exact`: its time is the number of instructions that it has executed, one a nanosecond, and idle time is skipped. So
    what it does takes as long on any host under any load: for what is measured in milliseconds. One processor, emulated;
    while it waits for the host its time flies.
    """

    memory_mib: int = 1024
    processors: int = 2
    clock: datetime | None = None
    kernel: str = ""
    keeps_writes: bool = False
    is_exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """A machine that has booted (`warm.py`)."""

    ram: Path
    root: Path
    hardware: Hardware


class Machine:
    """One machine. `folder` is new: its disks, sockets and console; its path is short, since sockets lie there.

    Seen from inside: /project is this checkout and /wheels what its locks name, both read-only; /dev/vdb is an empty
    second disk. Where a `warm` machine is given, a first start on its hardware goes on from there.
    """

    def __init__(self, folder: Path, image: Image, warm: Warm | None = None) -> None:
        self.folder = folder
        self._image = image
        self._warm = warm
        self._qemu: subprocess.Popen[bytes] | None = None
        self._hardware = Hardware()
        self._agent = Agent(folder / "agent.sock")
        _disk("-F", "qcow2", "-b", str(warm.root if warm else image.root), str(folder / "root.qcow2"))
        _disk(str(folder / "data.qcow2"), f"{_DATA_MIB}M")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.power_cut()

    # Its plug

    def start(self, hardware: Hardware | None = None, *, wait: bool = True) -> None:
        """Switch it on with what its disks hold now, and wait until it answers."""
        self.power_cut()
        for name in ("agent", "monitor"):
            (self.folder / f"{name}.sock").unlink(missing_ok=True)
        warm, self._warm = self._warm, None
        self._hardware = hardware or (warm.hardware if warm else Hardware())
        incoming = ["-incoming", f"exec:cat {warm.ram}"] if warm and self._hardware == warm.hardware else []
        console = f"file,id=console,path={self.folder}/console.log,append=on"
        with (self.folder / "qemu.log").open("ab") as log:
            self._qemu = subprocess.Popen(
                [
                    *command(self._image, self.folder, self._hardware),
                    *incoming,
                    "-chardev",
                    console,
                    "-serial",
                    "chardev:console",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the terminal's Ctrl-C is for the test
            )
        if wait:
            self.wait_up()
            if incoming:  # its clock went on from when it was saved
                self.set_time(datetime.now(UTC))

    def restart(self) -> None:
        """Switch it on as the last time."""
        self.start(self._hardware)

    def shell(self, hardware: Hardware | None = None) -> int:
        """Switch it on with its console on this terminal, until it is switched off (or Ctrl-A X)."""
        self.power_cut()
        console = (
            "-chardev",
            "stdio,id=console,mux=on,signal=off",
            "-serial",
            "chardev:console",
            "-mon",
            "chardev=console",
        )
        return subprocess.call([*command(self._image, self.folder, hardware or Hardware()), *console])

    def power_cut(self) -> None:
        """Pull the plug. Idempotent."""
        self._agent.close()
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def wait_up(self, *, other_than: str = "") -> str:
        """Until it answers; the kernel's name of this boot. `other_than` is that of a boot that is to end first."""
        deadline_ns = CLOCK.boot_ns() + round(PATIENCE_S * SECOND)
        while True:
            if self._qemu is None or self._qemu.poll() is not None:
                raise AgentError(f"QEMU has ended: {(self.folder / 'qemu.log').read_text('utf-8')}")
            try:
                self._agent.wait(1)
                boot = self._agent.read("/proc/sys/kernel/random/boot_id").decode().strip()
                if boot != other_than:
                    self.sh("for share in /project /wheels; do mountpoint -q $share || mount $share; done")
                    return boot
            except AgentError as err:
                if CLOCK.boot_ns() > deadline_ns:
                    raise AgentError(f"{err}; its console:\n{self.console[-2000:]}") from err
            CLOCK.sleep(0.1)

    @property
    def console(self) -> str:
        """What the kernel and the boot wrote to the serial console."""
        return (self.folder / "console.log").read_text("utf-8", "replace")

    @property
    def disks(self) -> tuple[Path, ...]:
        """Its disks, qcow2."""
        return tuple(self.folder / f"{name}.qcow2" for name in _DISKS)

    @property
    def written(self) -> tuple[Path, ...]:
        """What was written to each disk since it was switched on (`Hardware.keeps_writes`): data between sectors of notes."""
        return tuple(_written(disk) for disk in self.disks)

    # Hands inside

    def exec(
        self,
        *words: str,
        data: bytes = b"",
        environment: dict[str, str] | None = None,
        patience_s: float = PATIENCE_S,
        is_checked: bool = True,
    ) -> Done:
        """Run a program as root to its end; `data` is its stdin. Raises Failed when it ends badly, unless told not to."""
        added = [f"{name}={value}" for name, value in (environment or {}).items()]
        pid = self._agent.start(list(words), [*_ENVIRONMENT, *added], data)
        deadline_ns, pause_s = CLOCK.boot_ns() + round(patience_s * SECOND), 0.005
        while (ended := self._agent.ended(pid)) is None:
            if CLOCK.boot_ns() > deadline_ns:
                self._agent.start(["/bin/kill", "-KILL", str(pid)], [], b"")
                raise Failed(f"{shlex.join(words)}: not done after {patience_s:g} s")
            CLOCK.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.1)
        done = Done(code=ended[0], out=ended[1], err=ended[2])
        if is_checked and done.code != 0:
            raise Failed(f"{shlex.join(words)}: exit {done.code}\n{done.out[-8000:]}{done.err[-8000:]}")
        return done

    def sh(self, script: str, *, patience_s: float = PATIENCE_S) -> str:
        """What a line of shell writes. Raises Failed when it ends badly."""
        return self.exec("/bin/sh", "-ec", script, patience_s=patience_s).out

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Make a file, with the folders to it."""
        self.exec("/usr/bin/install", "-D", "-m", f"{mode:o}", "/dev/null", path)
        self._agent.write(path, data)

    def get(self, path: str) -> bytes:
        """What is in a file."""
        return self._agent.read(path)

    def get_folder(self, path: str, to: Path) -> Path:
        """Copy a folder out into the folder `to`."""
        self.exec("/bin/tar", "-cf", "/tmp/folder.tar", "-C", path, ".")
        to.mkdir(parents=True)
        subprocess.run(["tar", "-xf", "-", "-C", str(to)], input=self.get("/tmp/folder.tar"), check=True)
        return to

    def set_time(self, moment: datetime) -> None:
        """Set the guest's wall clock; its battery clock stays as it is."""
        self.sh(f"date --set=@{moment.timestamp()}")


@contextmanager
def new_machine(image: Image, warm: Warm | None = None) -> Iterator[Machine]:
    """A machine in a temporary folder of its own, switched off."""
    with (
        tempfile.TemporaryDirectory(prefix="spk-vm-") as folder,
        Machine(Path(folder), image, warm) as new,
    ):
        yield new


def command(image: Image, folder: Path, hardware: Hardware) -> list[str]:
    """QEMU on the disks in this folder, but for its console."""
    clock = "utc" if hardware.clock is None else hardware.clock.strftime("%Y-%m-%dT%H:%M:%S")
    disks = []
    for name in _DISKS:
        disk = folder / f"{name}.qcow2"
        # QEMU keeps to itself what the guest has not flushed: gone at a power cut, as in a disk with a cache.
        drive = f"if=none,id={name},cache=writeback,discard=unmap"
        if hardware.keeps_writes:
            log = _written(disk)
            log.touch()
            drive += f",driver=blklogwrites,log.driver=file,log.filename={log}"
            drive += f",file.driver=qcow2,file.file.driver=file,file.file.filename={disk}"
        else:
            drive += f",format=qcow2,file={disk}"
        disks += ["-drive", drive, "-device", f"virtio-blk-pci,drive={name}"]
    return [
        *(
            "setpriv",
            "--pdeathsig",
            "KILL",
        ),  # the kernel ends it when the thread that started it ends, however that came
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-cpu", "max"),
        *("-machine", "q35,hpet=off,sata=off,smbus=off", "-m", f"{hardware.memory_mib}M", *_processors(hardware)),
        *("-rtc", f"base={clock},clock={'vm' if hardware.is_exact else 'host'}"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-append", f"{_COMMAND_LINE} {hardware.kernel}"),
        *("-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset"),
        *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
        *("-chardev", f"socket,id=agent,path={folder}/agent.sock,server=on,wait=off"),
        *("-qmp", f"unix:{folder}/monitor.sock,server=on,wait=off"),
        *_shared("project", PROJECT),
        *_shared("wheels", image.wheels),
        *disks,
    ]


def _processors(hardware: Hardware) -> tuple[str, ...]:
    if hardware.is_exact:
        return ("-accel", "tcg,thread=single,tb-size=512", "-icount", "shift=0,sleep=off")
    return ("-accel", "kvm" if IS_FAST else "tcg,thread=multi,tb-size=512", "-smp", str(hardware.processors))


def _disk(*words: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words], check=True)


def _written(disk: Path) -> Path:
    return disk.with_suffix(".writes")


def _shared(name: str, folder: Path) -> tuple[str, ...]:
    return ("-virtfs", f"local,path={folder},mount_tag={name},security_model=none,readonly=on,multidevs=remap")
