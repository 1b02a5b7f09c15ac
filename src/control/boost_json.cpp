// Boost.JSON, compiled once for the whole program; everyone else includes declarations only.
#include <boost/json/src.hpp>
