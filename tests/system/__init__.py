"""The product as it is used: real processes, real sockets, real kills, and the stock tools that open its clips."""
