/* Lets user-mode Linux 6.1 run on processors whose extended registers take more room than it knows of (AMX: 11,008 bytes, where it has
 * 2,696): the host takes them only whole. Preloaded by scripts/cgroup2. What is behind the part that the guest kernel knows stays
 * as the host has it; no program of the guest may use that, because it would have to ask the host for it first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

typedef long ptrace_fn(int, int, void *, void *);

long ptrace(enum __ptrace_request request, ...) {
  static ptrace_fn *host;
  static _Alignas(64) char whole[64 << 10];
  va_list rest;
  va_start(rest, request);
  int pid = va_arg(rest, int);
  void *address = va_arg(rest, void *);
  void *data = va_arg(rest, void *);
  va_end(rest);
  if (!host)
    host = (ptrace_fn *)dlsym(RTLD_NEXT, "ptrace");
  if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE) {
    struct iovec *part = data;
    struct iovec all = {whole, sizeof whole};
    if (host(PTRACE_GETREGSET, pid, address, &all) == 0 && part->iov_len < all.iov_len) {
      memcpy(whole, part->iov_base, part->iov_len);
      return host(PTRACE_SETREGSET, pid, address, &all);
    }
  }
  return host(request, pid, address, data);
}
