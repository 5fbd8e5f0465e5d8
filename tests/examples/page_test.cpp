#include <chainrule/examples/backprop_by_hand/page.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <chainrule/core/error.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/derivation/textbook_network.hpp>

TEST_SUITE_BEGIN("examples");

TEST_CASE("page: formulas, curve and graph in one file that needs no other") {
  const TextbookNetwork net({4, 3, 2}, 1);
  const std::string file =
      (std::filesystem::temp_directory_path() / "chainrule_page_test.html").string();
  by_hand::write_page(file, "4-3-2", chainrule::derive(net.loss), "<svg>graph</svg>",
                      {{{1.5, 0.4}, {1.6, 0.3}}, {{0.5, 0.8}, {0.7, 0.7}}});
  std::ifstream in(file);
  const std::string page(std::istreambuf_iterator<char>(in), {});
  std::remove(file.c_str());
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(page.find("<math>") != std::string::npos);
  CHECK(page.find("<svg>graph</svg>") != std::string::npos);
  CHECK(page.find("<polyline points=\"46.0,") != std::string::npos);
  CHECK(page.find("2 epochs") != std::string::npos);
  CHECK(page.find("http://") == page.find("http://www.w3.org/2000/svg"));
  CHECK(error_of<chainrule::IoError>([&] {
          by_hand::write_page("no/such/folder/page.html", "", chainrule::derive(net.loss), "", {});
        }).starts_with("no/such/folder/page.html: the page cannot be written"));
}

TEST_SUITE_END();
