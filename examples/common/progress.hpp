#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

/// The columns of the terminal that `file` writes to; 0 when it is none, or one that cannot move
/// its cursor (TERM=dumb).
int terminal_width(std::FILE* file);

/// What a model is worth on some samples.
struct Score {
  double loss = 0;      ///< mean of −log p for the right class
  double accuracy = 0;  ///< part of the samples whose likeliest class is the right one
};

/// Shows how far a training is. After each epoch it writes a line with the scores; on a terminal
/// there is also a bar below, drawn anew some times a second:
///
///     epoch 12/40 ━━━━━━━━━━──────────  31 %  loss 0.1234  250,000 samples/s  0:03 left
///
/// Anywhere else no control characters are written.
class Progress {
 public:
  using Sink = std::function<void(std::string_view text)>;
  /// Seconds from any point in time.
  using Clock = std::function<double()>;

  /// `width` is that of the terminal, or 0. Writes the headings.
  Progress(std::int64_t epochs, std::int64_t samples_per_epoch, int width, Sink sink,
           Clock clock = seconds);
  /// To standard output.
  Progress(std::int64_t epochs, std::int64_t samples_per_epoch);

  /// After each batch: how many samples it had, and its loss. Throws chainrule::ValueError when
  /// that is not finite, since nothing can be learned any more.
  void batch(std::int64_t samples, double loss);
  /// After each epoch.
  void epoch(const Score& train, const Score& test);

  /// The scores of an epoch that is over.
  struct Epoch {
    Score train, test;
  };
  const std::vector<Epoch>& history() const noexcept { return history_; }
  std::int64_t samples_done() const noexcept { return done_; }
  /// Since the beginning.
  double seconds_passed() const { return clock_() - begun_; }
  /// "57,520 samples in 0.4 s, 143,800 samples/s"
  std::string summary() const;

  static double seconds();

 private:
  void draw(double now);
  std::string bar(double now) const;

  std::int64_t epochs_, samples_per_epoch_;
  int width_;
  Sink sink_;
  Clock clock_;
  double begun_, drawn_;
  std::int64_t epoch_ = 1;
  std::int64_t done_ = 0;
  double loss_ = 0;  // a running mean over the last batches
  bool on_screen_ = false;
  std::vector<Epoch> history_;
};

}  // namespace examples
