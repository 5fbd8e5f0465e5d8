#include <chainrule/examples/common/progress.hpp>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include <chainrule/core/error.hpp>
#include <chainrule/examples/common/table.hpp>

namespace examples {

namespace {

constexpr double redraw_after = 0.1;  // seconds
constexpr std::string_view clear_line = "\r\033[K";

// Seconds as 0:07, 12:03 or 1:02:03.
std::string clock_time(double seconds) {
  const auto s = static_cast<std::int64_t>(std::ceil(std::min(seconds, 359999.0)));
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

void to_stdout(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

int terminal_width(std::FILE* file) {
  const int descriptor = fileno(file);
  if (descriptor < 0 || !isatty(descriptor)) return 0;
  const char* term = std::getenv("TERM");
  if (term == nullptr || std::string_view(term) == "dumb") return 0;
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

double Progress::seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Progress::Progress(std::int64_t epochs, std::int64_t samples_per_epoch)
    : Progress(epochs, samples_per_epoch, terminal_width(stdout), to_stdout) {}

Progress::Progress(std::int64_t epochs, std::int64_t samples_per_epoch, int width, Sink sink,
                   Clock clock)
    : epochs_(epochs),
      samples_per_epoch_(samples_per_epoch),
      width_(width),
      sink_(std::move(sink)),
      clock_(std::move(clock)),
      begun_(clock_()),
      drawn_(begun_) {
  sink_(
      "           train                 test\n"
      "epoch       loss    accuracy      loss    accuracy\n"
      "──────────────────────────────────────────────────\n");
}

void Progress::batch(std::int64_t samples, double loss) {
  if (!std::isfinite(loss)) {
    if (std::exchange(on_screen_, false)) sink_(clear_line);
    throw chainrule::ValueError(fmt::format(
        "the loss of a batch in epoch {} is {}; a smaller --rate may help", epoch_, loss));
  }
  loss_ = done_ == 0 ? loss : loss_ + 0.05 * (loss - loss_);
  done_ += samples;
  if (width_ == 0) return;
  const double now = clock_();
  if (now - drawn_ >= redraw_after) draw(now);
}

void Progress::epoch(const Score& train, const Score& test) {
  history_.push_back({train, test});
  const auto percent = [](double part) { return fmt::format("{:.1f} %", 100 * part); };
  std::string text(on_screen_ ? clear_line : "");
  text += fmt::format("{:>5}   {:>8.4f}  {:>10}  {:>8.4f}  {:>10}\n", epoch_, train.loss,
                      percent(train.accuracy), test.loss, percent(test.accuracy));
  sink_(text);
  const bool was_on_screen = std::exchange(on_screen_, false);
  ++epoch_;
  if (was_on_screen && epoch_ <= epochs_) draw(clock_());
}

void Progress::draw(double now) {
  sink_(std::string(clear_line) + bar(now));
  drawn_ = now;
  on_screen_ = true;
}

std::string Progress::bar(double now) const {
  const double passed = std::max(now - begun_, 1e-9);
  const auto total = static_cast<double>(epochs_ * samples_per_epoch_);
  const auto done = static_cast<double>(done_);
  const double part = std::min(done / total, 1.0);
  const std::string left = fmt::format("epoch {}/{} ", epoch_, epochs_);
  const std::string right =
      fmt::format(" {:3.0f} %  loss {:.4f}  {} samples/s  {} left", 100 * part, loss_,
                  grouped(std::llround(done / passed)), clock_time(passed * (total - done) / done));

  // One column stays free: a terminal may wrap a line that fills it.
  const auto room = static_cast<std::int64_t>(width_) - 1 -
                    static_cast<std::int64_t>(width_of(left) + width_of(right));
  if (room < 3) return (left + right).substr(0, static_cast<std::size_t>(std::max(width_ - 1, 0)));
  const std::int64_t cells = std::min<std::int64_t>(room, 40);
  const auto full = static_cast<std::int64_t>(part * static_cast<double>(cells));
  std::string text = left;
  for (std::int64_t i = 0; i < cells; ++i) text += i < full ? "━" : "─";
  return text + right;
}

std::string Progress::summary() const {
  const double passed = std::max(seconds_passed(), 1e-9);
  return fmt::format("{} samples in {:.1f} s, {} samples/s", grouped(done_), passed,
                     grouped(std::llround(static_cast<double>(done_) / passed)));
}

}  // namespace examples
