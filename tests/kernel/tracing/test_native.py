"""The native library leaves the processes that it is loaded into as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from conftest import ROOT

from nbpipe.kernel.tracing import native
from nbpipe.kernel.tracing.native import find_library, preload_variables

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the library is for Linux")

BEGIN = """
import os, sys
from pathlib import Path
from nbpipe.kernel.tracing import StepTracer
tracer = StepTracer(Path(sys.argv[1], "log"), [sys.argv[1]])
tracer.start()
"""


@pytest.fixture
def run(library, tmp_path):
    work, private = tmp_path / "work", tmp_path / "private"
    work.mkdir()
    private.mkdir()

    def start(code: str, *, begin: bool = True, **environ: str) -> str:
        around = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
        program = (BEGIN if begin else "") + textwrap.dedent(code)
        done = subprocess.run(
            [sys.executable, "-c", program, str(private)],
            cwd=work,
            env={**around, **preload_variables(around, private)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    start.work = work
    start.private = private
    return start


def compile_c(source: str, target: Path, *options: str) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    file = target.with_suffix(".c")
    file.write_text(source)
    done = subprocess.run(
        [compiler, "-O1", "-o", str(target), str(file), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"cannot be compiled here: {done.stderr.splitlines()[-1]}")
    return target


def test_without_being_asked_it_does_nothing(run):
    assert run("open('f', 'w').write('x'); print(open('f').read())", begin=False) == "x\n"
    assert list(run.private.iterdir()) == []


def test_the_author_does_not_see_it(run):
    shown = run("print([n for n in os.environ if n.startswith(('LD_', 'NBPIPE_'))])")
    assert shown == "[]\n"


def test_children_are_traced_also_when_the_environment_is_cleared(run):
    run("""
        import subprocess
        os.environ.clear()
        subprocess.run("/bin/cat < /etc/hostname > made", shell=True)
        assert tracer.finish({}).files_written == (os.path.abspath("made"),)
    """)


def test_a_library_of_the_authors_stays_in_effect_and_in_sight(run, tmp_path):
    own = compile_c(
        "int answer_of_author(void) { return 42; }", tmp_path / "own.so", "-shared", "-fPIC"
    )
    shown = run(
        """
        import ctypes, subprocess
        ask = "import ctypes, os; print(ctypes.CDLL(None).answer_of_author())"
        print(os.environ["LD_PRELOAD"], ctypes.CDLL(None).answer_of_author(), flush=True)
        subprocess.run([sys.executable, "-c", ask])
        """,
        LD_PRELOAD=str(own),
    )  # fmt: skip
    assert shown == f"{own} 42\n42\n"


def test_after_the_end_children_are_not_traced(run):
    run("""
        tracer.finish({})
        os.system("echo x > made")
        assert Path(sys.argv[1], "log").read_bytes() == b""
    """)


def test_a_program_that_cannot_be_traced_is_named(run):
    compile_c(
        '#include <stdio.h>\nint main(void) { return fopen("f", "r") != NULL; }',
        run.work / "fixed",
        "-static",
    )
    run("""
        import subprocess
        subprocess.run(["./fixed"])
        subprocess.run(["true"])
        assert tracer.finish({}).unverified == ("fixed",)
    """)


def test_a_log_that_cannot_be_written_makes_the_trace_unverified(run):
    run("""
        Path(sys.argv[1], "log").rename(Path(sys.argv[1], "elsewhere"))
        open("f", "w").close()
        Path(sys.argv[1], "elsewhere").rename(Path(sys.argv[1], "log"))
        assert tracer.finish({}).unverified == ("nbpipe.kernel.tracing",)
    """)


def test_native_code_is_seen(run, tmp_path):
    reader = compile_c(
        """
        #include <fcntl.h>
        #include <stdio.h>
        #include <sys/stat.h>
        #include <unistd.h>
        #include <dirent.h>
        int act(void) {
            struct stat facts;
            char byte;
            FILE *file = fopen("by_fopen", "r");
            int fd = openat(AT_FDCWD, "by_openat", O_RDONLY);
            if (!file || fread(&byte, 1, 1, file) != 1) return 1;
            if (fd < 0 || read(fd, &byte, 1) != 1) return 1;
            if (stat("by_stat", &facts) || !access("absent", F_OK)) return 2;
            DIR *directory = opendir("sub");
            if (!directory || !readdir(directory) || closedir(directory)) return 3;
            fclose(file);
            close(fd);
            file = fopen("made", "w");
            fclose(file);
            return rename("made", "moved") || unlink("gone") || truncate("cut", 0);
        }
        """,
        tmp_path / "act.so",
        "-shared",
        "-fPIC",
    )
    for name in ("by_fopen", "by_openat", "by_stat", "gone", "cut"):
        (run.work / name).write_text("xx")
    (run.work / "sub").mkdir()
    run(f"""
        import ctypes
        act = ctypes.CDLL({str(reader)!r}).act
        assert act() == 0
        trace = tracer.finish({{}})
        def names(paths): return [os.path.relpath(path) for path in paths]
        assert names(trace.files_read) == ["../act.so", "by_fopen", "by_openat", "by_stat", "cut"]
        assert names(trace.files_absent) == ["absent"]
        assert names(trace.directories_listed) == ["sub"]
        assert names(trace.files_written) == ["cut", "gone", "moved"]
    """)


def test_errors_are_as_always(run):
    run("""
        import ctypes, errno
        c = ctypes.CDLL(None, use_errno=True)
        expected = {
            "open": [(None, 0), errno.EFAULT], "stat": [(None, None), errno.EFAULT],
            "unlink": [(b"none",), errno.ENOENT], "rename": [(b"none", b"x"), errno.ENOENT],
            "opendir": [(b"none",), errno.ENOENT], "execve": [(b"none", None, None), errno.ENOENT],
            "mkdir": [(b"/proc/x", 0), errno.ENOENT], "rmdir": [(b"/proc",), errno.EBUSY],
            "truncate": [(b"none", 0), errno.ENOENT], "readlink": [(b".", None, 0), errno.EINVAL],
        }
        for name, (arguments, code) in expected.items():
            ctypes.set_errno(0)
            assert getattr(c, name)(*arguments) in (-1, 0), name
            assert ctypes.get_errno() == code, (name, ctypes.get_errno())
        ctypes.set_errno(7)
        assert c.access(b".", 0) == 0
        assert ctypes.get_errno() == 7
    """)


def test_it_holds_no_descriptor_and_writes_into_no_file_of_others(run):
    run("""
        before = os.listdir("/proc/self/fd")
        os.closerange(3, 100)
        files = [open(f"f{number}", "w+") for number in range(30)]
        for file in files:
            os.path.exists(f"none{file.name}")
        assert all(os.fstat(file.fileno()).st_size == 0 for file in files)
        for file in files: file.close()
        assert os.listdir("/proc/self/fd") <= before
    """)


def test_paths_of_any_form_come_through(run):
    (run.work / "new\nline").write_text("x")
    (run.work / "ünï").write_text("x")
    (run.work / os.fsdecode(b"\xff")).write_text("x")
    run("""
        for name in ("new\\nline", "ünï", os.fsdecode(b"\\xff")): open(name).close()
        assert {os.path.basename(p) for p in tracer.finish({}).files_read} == {
            "new\\nline", "ünï", os.fsdecode(b"\\xff")
        }
    """)


def test_many_threads_and_processes_at_once(run):
    """Records come whole and complete, forks do not hang, whatever the threads are doing."""
    for number in range(400):
        (run.work / f"t{number}").write_text("x")
    run("""
        import subprocess, threading, warnings
        warnings.simplefilter("ignore")
        def read(first):
            for number in range(first, 400, 8):
                open(f"t{number}").close()
                os.path.exists(f"none{number}")
                with open(f"new{number}", "w") as file: file.write("x")
        threads = [threading.Thread(target=read, args=(first,)) for first in range(8)]
        for thread in threads: thread.start()
        children = []
        for number in range(40):
            child = os.fork()
            if not child:
                open(f"child{number}", "w").close()
                os._exit(0)
            children.append(child)
        started = [
            subprocess.Popen(["sh", "-c", f"cat t{n} > copy{n}; test -e absent{n}"])
            for n in range(40)
        ]
        for child in children: assert os.waitpid(child, 0)[1] == 0
        for process in started: assert process.wait() == 1
        for thread in threads: thread.join()
        trace = tracer.finish({})
        def names(paths): return {os.path.basename(path) for path in paths}
        assert names(trace.files_read) == {f"t{n}" for n in range(400)}
        assert names(trace.files_absent) == {
            *(f"none{n}" for n in range(400)), *(f"absent{n}" for n in range(40))
        }
        assert names(trace.files_written) == {
            *(f"new{n}" for n in range(400)), *(f"child{n}" for n in range(40)),
            *(f"copy{n}" for n in range(40)),
        }
        assert trace.unverified == ()
    """)


def test_signal_handlers_may_open_files(run):
    run("""
        import signal
        count = 0
        def handle(*_):
            global count
            count += 1
            open(f"by_signal{count % 5}", "w").close()
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for number in range(20000):
            os.path.exists(f"none{number % 50}")
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert count
        trace = tracer.finish({})
        assert len(trace.files_absent) == 50
        assert trace.unverified == ()
    """)


def test_what_was_seen_before_is_not_written_again(run):
    run("""
        for _ in range(3):
            for number in range(500):
                os.path.exists(f"none{number}")
        assert Path(sys.argv[1], "log").read_bytes().count(b"none") == 500
    """)


def test_ten_thousand_files_cost_little(run):
    """The bound is loose, for busy machines; decision 0017 has measured figures."""
    (run.work / "many").mkdir()
    for number in range(10_000):
        (run.work / "many" / str(number)).touch()
    shown = run("""
        import time
        def read():
            began = time.process_time()
            for number in range(10_000): open(f"many/{number}").close()
            return time.process_time() - began
        traced = min(read(), read())
        assert len(tracer.finish({}).files_read) == 10_000
        print(traced / min(read(), read()))
    """)
    assert float(shown) < 4


def test_a_library_whose_path_cannot_be_preloaded_gets_a_link(library, tmp_path, monkeypatch):
    spaced = tmp_path / "with space" / "trace_files.so"
    spaced.parent.mkdir()
    shutil.copy(library, spaced)
    monkeypatch.setattr(native, "LIBRARY", spaced)
    private = tmp_path / "private"
    private.mkdir()
    if any(mark in str(private) for mark in " :"):
        pytest.skip("no plain path here")
    assert preload_variables({}, private) == {"LD_PRELOAD": f"{private}/trace_files.so"}
    assert (private / "trace_files.so").read_bytes() == library.read_bytes()
    assert preload_variables({}, spaced.parent) == {}


def test_it_can_be_turned_off_and_may_be_missing(library, tmp_path, monkeypatch):
    assert find_library({}) == library
    assert find_library({"NBPIPE_NATIVE_TRACING": "0"}) is None
    assert preload_variables({"LD_PRELOAD": "/x.so"}, tmp_path) == {
        "LD_PRELOAD": f"{library}:/x.so"
    }
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "none.so")
    assert preload_variables({"LD_PRELOAD": "/x.so"}, tmp_path) == {}


@pytest.mark.parametrize("switch", ["1", "0"])
def test_nothing_counts_before_the_beginning_or_after_the_end(run, switch):
    run(
        """
        import os, sys
        from pathlib import Path
        from nbpipe.kernel.tracing import StepTracer
        tracer = StepTracer(Path(sys.argv[1], "log"), [sys.argv[1]])
        Path("a").write_text("x")
        os.getenv("BEFORE")
        tracer.start()
        Path("b").write_text("x")
        os.getenv("MEANWHILE")
        trace = tracer.finish({})
        Path("c").write_text("x")
        os.getenv("AFTER")
        assert trace.files_written == (os.path.abspath("b"),), trace
        assert list(trace.environment_read) == ["MEANWHILE"], trace
        """,
        begin=False,
        NBPIPE_NATIVE_TRACING=switch,
    )
