// Backpropagation by hand: the formulas that a person derives for a fully connected network,
// checked against automatic differentiation and against central differences, and the training of
// that network.

#include <fmt/format.h>

#include <algorithm>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/backprop_by_hand/check.hpp>
#include <chainrule/examples/backprop_by_hand/derivation.hpp>
#include <chainrule/examples/backprop_by_hand/network.hpp>
#include <chainrule/examples/backprop_by_hand/page.hpp>
#include <chainrule/examples/backprop_by_hand/train.hpp>
#include <chainrule/examples/common/confusion.hpp>
#include <chainrule/examples/common/options.hpp>
#include <chainrule/examples/common/table.hpp>

namespace {

const examples::Program program = {
    .name = "backprop_by_hand",
    .description =
        "Builds a fully connected network for handwritten digits (sigmoid, softmax, loss\n"
        "−yᵀ log p), checks the gradients that were derived by hand (dW2 = dz2·(h1)ᵀ …)\n"
        "against automatic differentiation and against central differences, for one\n"
        "image and for a batch; then trains the network, and tests it on images that it\n"
        "has not seen.",
    .notes =
        "Examples:\n"
        "  backprop_by_hand                          check, then train: the defaults\n"
        "  backprop_by_hand --epochs 0               check only\n"
        "  backprop_by_hand --hidden 40,30,20,10     four hidden layers\n"
        "  backprop_by_hand --hidden none            no hidden layer\n"
        "\n"
        "Exit status: 0; 1 if a formula is off by more than 1e-12 (f64) or 1e-4 (f32) of\n"
        "its gradient's largest element, or by more than 1e-6 from central differences,\n"
        "which are always taken in f64; 2 for a wrong option or an unusable file.",
    .page = true};

std::string forward_formulas(int layers) {
  std::string text;
  for (int l = 1; l < layers; ++l) {
    const std::string before = l == 1 ? "x" : fmt::format("h{}", l - 1);
    text += fmt::format("  z{0} = W{0}·{1} + b{0}   h{0} = σ(z{0})\n", l, before);
  }
  const std::string last = layers == 1 ? "x" : fmt::format("h{}", layers - 1);
  return text + fmt::format("  z{0} = W{0}·{1} + b{0}   p = softmax(z{0})   loss = −yᵀ log(p)\n",
                            layers, last);
}

// The forward pass of the first training image, recorded to be derived.
struct Recorded {
  Recorded(const by_hand::Network& network, const by_hand::Columns& columns)
      : pass(forward(network, columns.x)),
        y(columns.y.named("y")),
        loss(by_hand::loss(pass.p, y)) {}

  by_hand::Pass pass;
  cr::Tensor y, loss;
};

// What the library says to the formulas by hand.
cr::DerivationReport verdicts(const by_hand::Network& network, const Recorded& recorded) {
  const auto chain = by_hand::backward_chain(network.layers(), by_hand::Samples::one);
  by_hand::Terms terms = evaluate(chain, network, recorded.pass, recorded.y);
  std::vector<cr::Formula> formulas;
  for (const by_hand::HandFormula& formula : chain)
    formulas.push_back({formula.gradient, tensor_of(network, recorded.pass, formula.of),
                        terms.gradient(formula.of)});
  return cr::check_derivation(recorded.loss, formulas);
}

// The chain as it was derived by hand, beside what the library derives from the recorded program.
std::string side_by_side(const cr::Derivation& derived, int layers) {
  examples::Table table({{"", true}, {"by hand", true}, {"derived from the program", true}});
  for (const auto& [of, gradient, text, compute] :
       by_hand::backward_chain(layers, by_hand::Samples::one))
    for (const cr::Derivation::Step& step : derived.steps())
      if (step.gradient.text == gradient) table.add({gradient, text, step.formula().text});
  return table.to_string();
}

// Checks the chain for the first `count` training images, and prints the table.
bool check(const by_hand::Network& network, const examples::Digits& train, std::int64_t count,
           by_hand::Samples samples) {
  const by_hand::Columns columns = by_hand::columns(train.pick(cr::arange(count)));
  const auto chain = by_hand::backward_chain(network.layers(), samples);
  const by_hand::Report report = by_hand::check(network, columns.x, columns.y, chain);
  fmt::print("{}\n", report.to_string());
  return report.ok();
}

std::vector<examples::Progress::Epoch> train(by_hand::Network& network,
                                             const examples::Split& digits,
                                             const examples::Options& options, std::int64_t batch) {
  fmt::print("3. Training on {} images, in batches of {}, with a learning rate of {}\n\n",
             examples::grouped(digits.train.size()), batch, options.rate);
  examples::Batches batches(digits.train.size(), batch, options.seed);
  examples::Progress progress(options.epochs, digits.train.size());
  by_hand::train(network, digits, batches, options.epochs, options.rate, progress);
  fmt::print("{}\n\n", progress.summary());
  return progress.history();
}

int main_program(const examples::Options& options) {
  const examples::Split digits =
      examples::hold_out(examples::read_digits(options.data, options.dtype));
  cr::Generator generator(options.seed);
  by_hand::Network network = by_hand::random_network(options.layers(), options.dtype, generator);
  const std::int64_t batch = std::min(options.batch, digits.train.size());

  fmt::print("The network {} in {}\n\n{}\n", options.layers_text(), name_of(options.dtype),
             forward_formulas(network.layers()));
  const Recorded recorded(network, by_hand::columns(digits.train.pick(cr::arange(1))));
  const cr::Derivation derived = cr::derive(recorded.loss);
  fmt::print("The chain rule, from the output to the input\n\n{}\n",
             side_by_side(derived, network.layers()));
  const cr::DerivationReport report = verdicts(network, recorded);
  fmt::print("What check_derivation says to the formulas by hand\n\n");
  report.print();
  bool ok = report.ok();
  fmt::print("\n1. One image, the digit {}: how far autograd is at most\n\n",
             digits.train.labels.at<std::int64_t>({0}));
  ok &= check(network, digits.train, 1, by_hand::Samples::one);
  // Differences take four forward passes for each element: a part of a large batch says as much.
  const std::int64_t compared = std::min<std::int64_t>(batch, 128);
  fmt::print("2. A batch of N = {}, the mean of its losses: how far autograd is at most\n\n",
             compared);
  ok &= check(network, digits.train, compared, by_hand::Samples::batch);
  fmt::print(
      "absolute: max |a − b| over the elements of a gradient; relative: that / max |b|.\n"
      "Differences: central ones of the loss in f64, from four points for each element.\n\n");

  std::vector<examples::Progress::Epoch> history;
  if (options.epochs > 0) {
    history = train(network, digits, options, batch);
    fmt::print(
        "4. The {} images of the test, which were not trained with\n\n{}",
        examples::grouped(digits.test.size()),
        examples::confusion_matrix(digits.test.labels,
                                   argmax(predict(network, by_hand::columns(digits.test).x), 0)));
  }
  if (!options.page.empty()) {
    by_hand::write_page(options.page, options.layers_text(), derived, cr::graph_svg(recorded.loss),
                        history);
    fmt::print("\nFormulas, graph and training curve: {}\n", options.page);
  }
  if (ok) return 0;
  fmt::print(stderr, "{}: not all formulas agree; see the tables\n", program.name);
  return 1;
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv, main_program); }
