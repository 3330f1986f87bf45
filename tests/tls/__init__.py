"""Tests of transport security."""
