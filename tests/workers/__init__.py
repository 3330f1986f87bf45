"""Tests of delivery in processes of its own."""
