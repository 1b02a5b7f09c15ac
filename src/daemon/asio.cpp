// The one unit that compiles Asio's own code: the daemon line defines BOOST_ASIO_SEPARATE_COMPILATION (DESIGN.md §6).
#include <boost/asio/impl/src.hpp>
