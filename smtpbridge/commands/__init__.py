"""What the console command does, one module for each thing; `cli` alone imports it."""
