"""
Fetching the MTA-STS policy of a domain: ``https://mta-sts.DOMAIN/.well-known/mta-sts.txt`` (RFC 8461 section 3.3).

The certificate is what a policy's authority rests on, so it is verified as in a browser. An answer other than 200 is no
policy, a redirect neither: that the domain lets somebody else choose what is its policy was never said. The media type
must be ``text/plain``, so that a server where anybody may put files does not give out one as the policy.

Promises: one minute and 64 kB at most.
"""

from smtpclient.tls.https_client import HttpsAnswer, HttpsClient, HttpsFailed, NotAuthentic
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.sts_policy import PolicyInvalid, StsPolicy, parse

LARGEST_POLICY = 65_536
TIMEOUT = 60.0
HTTPS_PORT = 443


class FetchFailed(Exception):
    """
    There is no policy to be had.

    :ivar result: what reports call it.
    """

    def __init__(self, result: ResultType, words: str) -> None:
        super().__init__(words)
        self.result = result


class PolicyFetch:
    """
    Fetches.

    :param port: that of the web servers.
    """

    def __init__(self, client: HttpsClient, port: int = HTTPS_PORT, timeout: float = TIMEOUT) -> None:
        self._client = client
        self._port = port
        self._timeout = timeout

    async def fetch(self, domain: str) -> StsPolicy:
        """
        The policy that a domain publishes now.

        :raises FetchFailed: when it publishes none, or none that can be read or trusted.
        """
        port = "" if self._port == HTTPS_PORT else f":{self._port}"
        url = f"https://mta-sts.{domain}{port}/.well-known/mta-sts.txt"
        try:
            answer = await self._client.get(url, limit=LARGEST_POLICY, timeout=self._timeout)
        except NotAuthentic as why:
            raise FetchFailed(ResultType.STS_WEBPKI_INVALID, f"{url}: {why}") from None
        except HttpsFailed as why:
            raise FetchFailed(ResultType.STS_POLICY_FETCH_ERROR, f"{url}: {why}") from None
        _check(url, answer)
        try:
            return parse(answer.body)
        except PolicyInvalid as why:
            raise FetchFailed(ResultType.STS_POLICY_INVALID, f"{url}: {why}") from None


def _check(url: str, answer: HttpsAnswer) -> None:
    if answer.code != 200:
        what = "redirects, which is not followed" if 300 <= answer.code < 400 else "no policy"
        raise FetchFailed(ResultType.STS_POLICY_FETCH_ERROR, f"{url}: answered {answer.code}: {what}")
    if answer.media_type != "text/plain":
        words = f"{url}: media type is {answer.media_type or 'not said'!a}, expected text/plain"
        raise FetchFailed(ResultType.STS_POLICY_FETCH_ERROR, words)
