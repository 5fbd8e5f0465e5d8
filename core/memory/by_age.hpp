#pragma once

#include <cstdint>

namespace chainrule::memory {

/// What free memory begins with that is kept for reuse.
struct Kept {
  Kept* older = nullptr;
  Kept* newer = nullptr;
  std::uint64_t stamp = 0;  ///< when it was put back
};

/// Kept memory in the order in which it was put back.
class ByAge {
 public:
  /// Null when there is none.
  Kept* oldest() const noexcept { return oldest_; }
  Kept* newest() const noexcept { return newest_; }
  void add(Kept* kept, std::uint64_t stamp) noexcept {
    *kept = {newest_, nullptr, stamp};
    (newest_ ? newest_->newer : oldest_) = kept;
    newest_ = kept;
  }
  void remove(Kept* kept) noexcept {
    (kept->older ? kept->older->newer : oldest_) = kept->newer;
    (kept->newer ? kept->newer->older : newest_) = kept->older;
  }

 private:
  Kept* oldest_ = nullptr;
  Kept* newest_ = nullptr;
};

}  // namespace chainrule::memory
