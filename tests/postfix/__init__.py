"""Tests of speaking with Postfix's daemons."""
