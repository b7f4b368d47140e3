"""Tests as coroutines that run concurrently, each with one line of TAP.

    @test
    async def a_silent_client_gets_a_ping(nginx):
        ...

    run(Nginx(location="websocket_ping 1s;"))

run() enters the context managers, passes them to each test and prints the lines. An exception of a
context manager on exit, for example for an alert in the error log, is a failed line of its own.
"""

import asyncio
import contextlib
import gc
import os
import resource
import sys
import traceback
import warnings

_tests = []

# with valgrind or a sanitizer everything takes longer, and memory use means nothing
VALGRIND = bool(os.environ.get("TEST_NGINX_USE_VALGRIND"))
INSTRUMENTED = VALGRIND or "ASAN_OPTIONS" in os.environ
PATIENCE = 6 if VALGRIND else 2 if INSTRUMENTED else 1


def test(function):
    """Registers a coroutine function as a test of the file."""
    _tests.append(function)
    return function


def equal(actual, expected, what="value"):
    """Fails unless both are equal, and prints them, shortened."""
    if actual != expected:
        raise AssertionError(f"{what}\n     got: {_show(actual)}\nexpected: {_show(expected)}")


def between(low, actual, high, what="value"):
    """Fails unless a number is between two others, inclusive."""
    if not low <= actual <= high:
        raise AssertionError(f"{what}: {actual} is not between {low} and {high}")


async def until(condition, timeout=10, what="it never came true"):
    """Waits until a condition is true; returns its value."""
    end = asyncio.get_running_loop().time() + timeout * PATIENCE
    while not (value := condition()):
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"{what}, in {timeout} s")
        await asyncio.sleep(0.02)
    return value


def run(*fixtures, limit=60, together=True):
    """Runs the tests of the file, in parallel or one after the other, and exits."""
    # some tests use many sockets
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # a socket that a test leaves to the garbage collector needs no warning
    warnings.simplefilter("ignore", ResourceWarning)
    # the garbage collector would pause all tests
    gc.freeze()
    sys.exit(asyncio.run(_run(fixtures, limit * PATIENCE, together)))


async def _run(fixtures, limit, together):
    failures = []
    lines = 0

    def report(name, problem):
        nonlocal lines
        lines += 1
        print(f"{'not ' if problem else ''}ok {lines} - {name}")
        if problem:
            failures.append(name)
            print("\n".join("#   " + line for line in problem.splitlines()), file=sys.stderr)
        sys.stdout.flush()

    async def one(function, arguments):
        name = function.__name__.replace("_", " ")
        report(name, await _problem(asyncio.wait_for(function(*arguments), limit)))

    async def everything():
        async with contextlib.AsyncExitStack() as stack:
            arguments = [await stack.enter_async_context(fixture) for fixture in fixtures]
            if together:
                await asyncio.gather(*(one(function, arguments) for function in _tests))
            else:
                for function in _tests:
                    await one(function, arguments)

    report("nothing is left behind", await _problem(everything()))
    print(f"1..{lines}")
    return 1 if failures else 0


async def _problem(awaitable):
    """The exception that an awaitable raises, as text; None if there is none."""
    try:
        await awaitable
    except AssertionError as error:
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        places = [f"{os.path.basename(frame.filename)}:{frame.lineno}: {frame.line}"
                  for frame in traceback.extract_tb(error.__traceback__)
                  if os.path.abspath(frame.filename).startswith(here) and frame.name != "_problem"]
        reason = [f"after: {error.__context__}"] if error.__context__ else []
        return "\n".join([str(error), *places, *reason])
    except asyncio.TimeoutError:
        return "it took too long\n" + traceback.format_exc()
    except Exception:
        return traceback.format_exc()
    return None


def _show(value):
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:400]} ... {text[-160:]} ({len(text)} characters)"
