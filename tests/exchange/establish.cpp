// Bringing an IKE SA and its first child up, and down again.
#include <doctest/doctest.h>

#include "simulation.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

/// Only side a initiates.
void one_sided(Simulation& simulation) { simulation.config(b).start = StartMode::wait; }

}  // namespace

// a: IKE_SA_INIT  -->
//                 <--  b
// a: IKE_AUTH     -->
//                 <--  b
TEST_CASE("two endpoints come up with one IKE SA and one child in four messages") {
  Simulation simulation;
  one_sided(simulation);
  simulation.record_wire = true;
  simulation.start();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 5s));
  CHECK(simulation.disagreement().value_or("") == "");
  CHECK(simulation.wire.size() == 4);
}
