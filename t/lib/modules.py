"""nginx modules for tests, in C: t/modules/NAME.c defines ngx_http_NAME_module.

They are compiled for the nginx under test and inspect its requests and connections directly."""

import filecmp
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# the file that nginx's configure writes for a dynamic module (auto/make)
TABLE = """
#include <ngx_config.h>
#include <ngx_core.h>

extern ngx_module_t  ngx_http_%(name)s_module;

ngx_module_t *ngx_modules[] = { &ngx_http_%(name)s_module, NULL };
char *ngx_module_names[] = { "ngx_http_%(name)s_module", NULL };
char *ngx_module_order[] = { NULL };
"""


def build(name, folder, binary):
    """Compiles a module for an nginx into a folder; returns its path."""
    source, objects = _tree(binary)
    table, module = folder / f"{name}_table.c", folder / f"{name}.so"
    table.write_text(TABLE % {"name": name})
    includes = [word for path in _includes(objects) for word in ("-I", source / path)]
    compiled = subprocess.run(
        ["cc", "-shared", "-fPIC", "-g", "-Wall", "-Werror", *includes, "-o", module,
         ROOT / f"t/modules/{name}.c", table], capture_output=True, text=True, check=False)
    if compiled.returncode:
        raise AssertionError(compiled.stderr)
    return module


def _tree(binary):
    """The source folder of an nginx and the folder in which it was configured."""
    if objects := os.environ.get("NGINX_BUILD_DIR"):
        return Path(os.environ["NGINX_SOURCE_DIR"]), Path(objects)
    # the nginx that cargo built with the module
    for built in ROOT.glob("target/**/build/nginx-sys-*/out/objs/nginx"):
        if filecmp.cmp(built, binary, shallow=False):
            about = (built.parent / "last-build-info").read_text()
            return Path(re.match(r'"([^"]+)"', about)[1]), built.parent
    raise AssertionError(f"the sources of {binary} are not to be found")


def _includes(objects):
    """Header folders; those of nginx's source are relative to it."""
    listed = re.search(r"^ALL_INCS = ((?:.*\\\n)*.*)", (objects / "Makefile").read_text(), re.M)
    return re.findall(r"-I (\S+)", listed[1])
