"""The lab's tools: namespaces, real daemons, traffic, captures. docs/lab.md describes them."""
