// The C library's malloc and its kin, replaced in the whole test program by functions that count
// and hand on, or fail when a test wants it. glibc documents that a program may replace them, and
// keeps its own under these names.
#include <chainrule/tests/core/count_malloc.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define COUNTS_MALLOC 0
#endif
#endif
#if !defined(COUNTS_MALLOC) && !defined(__GLIBC__)
#define COUNTS_MALLOC 0
#endif
#ifndef COUNTS_MALLOC
#define COUNTS_MALLOC 1
#endif

const bool CountMalloc::available = COUNTS_MALLOC;

namespace {

// constinit and initial-exec, so that counting itself never allocates.
thread_local constinit std::int64_t count __attribute__((tls_model("initial-exec"))) = 0;
thread_local constinit std::int64_t failing __attribute__((tls_model("initial-exec"))) = 0;
thread_local constinit bool all_later __attribute__((tls_model("initial-exec"))) = false;

// Counts a call; true when it is to fail.
bool counted() noexcept {
  ++count;
  if (count != failing && !(all_later && count > failing)) return false;
  errno = ENOMEM;
  return true;
}

}  // namespace

CountMalloc::CountMalloc() noexcept : before_(count) {}
std::int64_t CountMalloc::calls() const noexcept { return count - before_; }

FailMalloc::FailMalloc(std::int64_t call, bool and_all_later) noexcept {
  failing = count + call;
  all_later = and_all_later;
}
FailMalloc::~FailMalloc() {
  failing = 0;
  all_later = false;
}
bool FailMalloc::failed() const noexcept { return count >= failing; }

#if COUNTS_MALLOC
extern "C" {

void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t number, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
  if (counted()) return nullptr;
  return __libc_malloc(size);
}
void* calloc(std::size_t number, std::size_t size) noexcept {
  if (counted()) return nullptr;
  return __libc_calloc(number, size);
}
void* realloc(void* block, std::size_t size) noexcept {
  if (counted()) return nullptr;
  return __libc_realloc(block, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  if (counted()) return nullptr;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  if (counted()) return nullptr;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
  if (counted()) return ENOMEM;
  *block = __libc_memalign(alignment, size);
  return *block ? 0 : ENOMEM;
}

}  // extern "C"
#endif
