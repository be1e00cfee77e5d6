"""Cell source → what the cell reads, binds, changes and calls. Each cell is analysed by itself."""
