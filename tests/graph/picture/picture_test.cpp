#include <chainrule/graph/picture/dot.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

#include <doctest/doctest.h>

#include <string>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/nn/cross_entropy.hpp>
#include <chainrule/ops/nn/linear.hpp>
#include <chainrule/ops/nn/mse.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/derivation/textbook_network.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("picture: a box for every node, an arrow for every edge, rules as tooltips") {
  const TextbookNetwork net({4, 3, 2}, 1);
  const std::string svg = graph_svg(net.loss);
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  // x W1 b1 W2 b2 y, matmul z1 h1 matmul z2 p log mul sum neg
  CHECK(count(svg, "<g><rect ") == 16);
  CHECK(count(svg, "<path d=\"M") == 2 * 16);  // a line and a head
  CHECK(count(svg, " id=") == 0);              // several may stand in one page
  CHECK(count(svg, "W1 · parameter") == 1);
  CHECK(count(svg, "x · data") == 1);
  CHECK(svg.find("dz1 = dh1 ⊗ σ'(z1)") != std::string::npos);
  CHECK(svg.find("textbook_network.hpp:") != std::string::npos);
  const std::string page = graph_html(net.loss);
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(count(page, "class=\"node\"") == 16);
}

TEST_CASE("picture: the range of the values") {
  const Tensor z = tensor({{0.5, -1.25, 3.0}, {0.25, 2.0, -0.5}}, f64).named("z").requires_grad_();
  const Tensor labels = tensor({2, 1}).named("labels");
  const Tensor none = zeros({0, 3}, f64).named("none").requires_grad_();
  const auto box_of = [](const std::string& svg, std::string_view title) {
    const std::size_t at = svg.find(title);
    REQUIRE(at != std::string::npos);
    return svg.substr(at, svg.find("<title>", at) - at);
  };
  const std::string svg = graph_svg(cross_entropy(z, labels) + sum(none));
  CHECK(box_of(svg, "z · parameter").find(">-1.25 … 3<") != std::string::npos);
  CHECK(box_of(svg, "labels · data").find(">1 … 2<") != std::string::npos);
  CHECK(box_of(svg, "none · parameter").find("…") == std::string::npos);
  CHECK(box_of(svg, ">sum<").find(">0</text>") != std::string::npos);
}

TEST_CASE("picture: where the first NaN comes from") {
  const Tensor w = tensor({1.0, -1.0}, f64).named("w").requires_grad_();
  const Tensor bad = log(w).named("bad");
  const std::string svg = graph_svg(sum(bad * 2.0));
  CHECK(count(svg, "stroke-width=\"4\"") == 2);
  const std::size_t at = svg.find("stroke-width=\"4\"");
  CHECK(svg.substr(at, 200).find("bad · log") != std::string::npos);
  CHECK(error_of<GradError>([&] { graph_svg(bad); }).find("is not a scalar") != std::string::npos);
}

namespace {

Tensor layer(const std::string& name, const Tensor& in, std::int64_t units, Generator& generator) {
  const Tensor W =
      randn({units, in.shape()[1]}, generator, f64).named(name + ".weight").requires_grad_();
  return linear(in, W, zeros({units}, f64).named(name + ".bias").requires_grad_());
}

}  // namespace

TEST_CASE("picture: modules are folded into boxes, and unfolded in the page") {
  Generator generator(5);
  const Tensor x = randn({5, 4}, generator, f64).named("x");
  const Tensor code =
      tanh(layer("encoder.1", tanh(layer("encoder.0", x, 3, generator)), 2, generator));
  const Tensor loss = mse_loss(layer("decoder.0", code, 4, generator), x);
  const std::string open = graph_svg(loss), folded = graph_svg(loss, {.fold_modules = 1});
  CHECK(count(open, "<g><rect") == 13);
  CHECK(open.find(">encoder.0.weight · parameter<") != std::string::npos);
  // x, encoder, the tanh between encoder and decoder, decoder, the loss.
  CHECK(count(folded, "<g><rect") == 5);
  CHECK(folded.find(">encoder · module<") != std::string::npos);
  CHECK(folded.find(">3 operations<") != std::string::npos);
  CHECK(folded.find(">4 parameters<") != std::string::npos);
  CHECK(folded.find("encoder.0.weight · parameter") == std::string::npos);
  CHECK(count(graph_svg(loss, {.fold_modules = 2}), " · module<") == 3);
  CHECK(error_of<ValueError>([&] {
          graph_svg(loss, {.fold_modules = -1});
        }).starts_with("graph_svg: fold_modules = -1: a number"));

  const std::string page = graph_html(loss);
  CHECK(count(page, "class=\"view\"") == 4);
  CHECK(count(page, "class=\"view\" data-view=\"\">") == 1);  // the one that is not hidden
  CHECK(page.find("<option value=\"encoder\">encoder unfolded</option>") != std::string::npos);
  const TextbookNetwork flat({4, 3, 2}, 1);
  CHECK(graph_html(flat.loss).find("<select") == std::string::npos);
}

TEST_CASE("picture: a program that goes through a module twice has two boxes for it") {
  Generator generator(5);
  const Tensor W = randn({3, 3}, generator, f64).named("cell.weight").requires_grad_();
  const Tensor x = randn({2, 3}, generator, f64).named("x");
  const Tensor V = randn({3, 3}, generator, f64).named("other.weight").requires_grad_();
  const Tensor once = matmul(x, W), back = matmul(once, V);
  const std::string svg = graph_svg(sum(square(matmul(back, W))), {.fold_modules = 1});
  CHECK(svg.find(">cell · module<") != std::string::npos);
  CHECK(svg.find(">cell (2) · module<") != std::string::npos);
  // The parameter is of both, so that each shows the gradient of what leaves it.
  const auto norm_at = [&](const std::string& title) {
    const std::size_t at = svg.find("‖d‖", svg.find(">" + title + "<"));
    return svg.substr(at, svg.find("</text>", at) - at);
  };
  CHECK(norm_at("cell · module") != norm_at("cell (2) · module"));
}

TEST_CASE("picture: modules that take turns are shown open") {
  Generator generator(5);
  const Tensor F = randn({3, 3}, generator, f64).named("F.weight").requires_grad_();
  const Tensor G = randn({3, 3}, generator, f64).named("G.weight").requires_grad_();
  const Tensor x = randn({2, 3}, generator, f64).named("x"), y = randn({2, 3}, generator, f64);
  const auto f = [&](const Tensor& z) { return tanh(matmul(z, F)); };
  const auto g = [&](const Tensor& z) { return tanh(matmul(z, G)); };
  const std::string svg = graph_svg(sum(f(g(x)) + g(f(y))), {.fold_modules = 1});
  CHECK(svg.find("sum") != std::string::npos);  // nothing is lost
  CHECK(svg.find(">x · data<") != std::string::npos);
}

TEST_CASE("picture: a parameter with many uses stands beside each of them") {
  const Tensor W = tensor({{0.5, 0.1}, {0.2, 0.4}}, f64).named("W").requires_grad_();
  Tensor h = tensor({{1.0}, {2.0}}, f64).named("x");
  for (int i = 0; i < 6; ++i) h = tanh(matmul(W, h));
  const std::string svg = graph_svg(sum(h));
  CHECK(count(svg, ">W · parameter<") == 1);
  CHECK(count(svg, ">W<") == 5);
  CHECK(svg.find("‖d‖ 1<") != std::string::npos);  // of the loss
}

TEST_CASE("pictures: an operation of several results is one box, and each result another") {
  const Tensor x = tensor({{0.5, -1.0, 2.0}, {1.5, 0.25, -0.5}}, f64).named("x").requires_grad_();
  const auto [var, mean] = var_mean(x, 1);
  const Tensor loss = sum(var.named("v") * mean);
  const std::string svg = graph_svg(loss), dot = to_dot(loss);
  CHECK(count(svg, "v · var_mean[0]") == 1);
  CHECK(count(svg, ">var_mean[1]<") == 1);
  CHECK(count(svg, ">var_mean<") == 1);
  CHECK(count(dot, "var_mean[0]") == 1);
}

TEST_CASE("picture: a layer's box shows the function that it applies to its result") {
  Generator generator(5);
  const Tensor x = randn({5, 4}, generator, f64).named("x");
  const auto boxes = [&](Activation activation) {
    const Tensor W = randn({3, 4}, generator, f64).named("W").requires_grad_();
    return graph_svg(sum(linear(x, W, {}, activation).named("h")));
  };
  CHECK(count(boxes(Activation::none), ">h · linear<") == 1);
  CHECK(count(boxes(Activation::tanh), ">h · linear, tanh<") == 1);
  CHECK(count(boxes(Activation::relu), ">h · linear, relu<") == 1);
  CHECK(count(boxes(Activation::sigmoid), ">h · linear, sigmoid<") == 1);
}

TEST_CASE("picture: the first gradient that is not finite") {
  // dL/dw = 1 / (2 √w) is infinite at 0; what is behind it in the sweep is, too, and not marked.
  const Tensor v = tensor({2.0, 0.0}, f64).named("v").requires_grad_();
  const Tensor w = square(v).named("w");
  const std::string svg = graph_svg(sum(sqrt(w)));
  CHECK(count(svg, "stroke-width=\"4\" stroke-dasharray=\"6 3\"") == 2);  // the box, the legend
  const std::size_t at = svg.find("stroke-dasharray=\"6 3\"");
  CHECK(svg.substr(at, 200).find("w · square") != std::string::npos);
  CHECK(count(svg, ">‖d‖ not finite<") == 2);
  CHECK(count(svg, "first NaN or infinity of the gradients") == 1);
  CHECK(count(graph_svg(sum(sqrt(square(v + 1.0)))), "first NaN or infinity of the gradients") ==
        0);
}

TEST_CASE("picture: a page says of each node what it is, in the order of the backward sweep") {
  const TextbookNetwork net({4, 3, 2}, 1);
  const std::string page = graph_html(net.loss);
  const std::size_t notes = page.find("id=\"notes\"");
  REQUIRE(notes != std::string::npos);
  CHECK(count(page, "data-nodes=") == 16);
  CHECK(count(page, "{\"node\":") == 16);  // each once, however many scenes there are
  const std::size_t second = page.find("\"gradient\":\"dz2 = ", notes),
                    first = page.find("\"gradient\":\"dW1 = dz1·xᵀ\"", notes);
  CHECK(second < first);
  CHECK(first != std::string::npos);
  CHECK(page.find("\"forward\":\"h1 = σ(z1)\"", notes) != std::string::npos);
  CHECK(page.find("src=") == std::string::npos);  // it needs no network
  CHECK(page.find("<title>Graph</title>") == page.rfind("<title>"));
  // What a name has cannot end the script.
  const Tensor x = tensor(2.0).named("</script>\"\\").requires_grad_();
  CHECK(count(graph_html(square(x)), "</script>") == 2);
}

namespace {

// A recurrent net whose parameters have no modules.
Tensor recurrent(int steps) {
  Generator generator(3);
  const Tensor W = (randn({3, 3}, generator, f64) * 0.3).detach().named("W").requires_grad_();
  const Tensor x = randn({steps, 2, 3}, generator, f64).named("x");
  Tensor h = zeros({2, 3}, f64).named("h0");
  for (int t = 0; t < steps; ++t) h = tanh(matmul(h, W) + x[t]);
  return sum(square(h));
}

}  // namespace

TEST_CASE("picture: steps of a loop are folded, and shown first where all cannot be read") {
  const std::string page = graph_html(recurrent(20));
  CHECK(count(page, "<option value=\"#\" selected>20 steps folded</option>") == 1);
  CHECK(count(page, "data-module=\"step ") == 20);
  CHECK(count(page, ">3 operations<") == 0);  // they are listed
  CHECK(count(page, ">matmul → add → tanh<") == 20);
  CHECK(graph_html(recurrent(3)).find("<select") == std::string::npos);
  // More steps than can be read stand together.
  const std::string long_page = graph_html(recurrent(120));
  CHECK(count(long_page, "data-module=\"steps 1 – 3\"") == 1);
  CHECK(count(long_page, "data-module=\"steps 118 – 120\"") == 1);
  CHECK(count(long_page, "data-module=\"step") == 40);
}

TEST_SUITE_END();
